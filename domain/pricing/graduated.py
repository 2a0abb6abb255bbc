"""GRADUATED: each band prices only the units inside it. Put here: the exact reference. Keep out: rounding."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, localcontext

from domain.money import EXACT
from domain.pricing.tiers import Tier, TierCharge, require_usable


def charge(billable: Decimal | None, *, tiers: Sequence[Tier]) -> Decimal:
    """The sum over the bands, unrounded. Raises `BadTiers`."""
    with localcontext(EXACT):
        return sum((band.amount for band in breakdown(billable, tiers=tiers)), Decimal(0))


def breakdown(billable: Decimal | None, *, tiers: Sequence[Tier]) -> list[TierCharge]:
    """The bands any unit falls in, in order; a band's flat fee is due once any does. Raises `BadTiers`."""
    require_usable(tiers)
    bands: list[TierCharge] = []
    below = Decimal(0)
    with localcontext(EXACT):
        for tier in tiers:
            if billable is None or billable <= below:
                break
            inside = (billable if tier.up_to is None else min(billable, tier.up_to)) - below
            amount = inside * tier.unit_price + tier.flat_fee
            bands.append(TierCharge(tier.up_to, inside, tier.unit_price, tier.flat_fee, amount))
            below = billable if tier.up_to is None else tier.up_to
    return bands
