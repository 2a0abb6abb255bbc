"""Bands of a price. Put here: what graduated and volume prices share. Keep out: how either charges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from domain.errors import PermanentFailure


@dataclass(frozen=True, slots=True)
class Tier:
    """One band: up to and including `up_to` units (None: open), at `unit_price` each; `flat_fee` if any."""

    up_to: Decimal | None
    unit_price: Decimal
    flat_fee: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class TierCharge:
    """What one band contributes: its `quantity` of units and their `amount`, flat fee included, unrounded."""

    up_to: Decimal | None
    quantity: Decimal
    unit_price: Decimal
    flat_fee: Decimal
    amount: Decimal


class BadTiers(PermanentFailure):
    code = "BAD_TIERS"

    def __init__(self, bounds: Sequence[Decimal | None]) -> None:
        shown = ", ".join("open" if bound is None else format(bound.normalize(), "f") for bound in bounds)
        super().__init__(
            f"tiers up to [{shown}] are not usable: "
            "bounds must be above 0 and rise strictly, and the last tier, alone, is open"
        )


def require_usable(tiers: Sequence[Tier]) -> None:
    """Raises `BadTiers` unless bounds are above 0, rise strictly, and the last tier, alone, is open."""
    bounds = [tier.up_to for tier in tiers]
    if not bounds or bounds[-1] is not None:
        raise BadTiers(bounds)
    below = Decimal(0)
    for bound in bounds[:-1]:
        if bound is None or bound <= below:
            raise BadTiers(bounds)
        below = bound
