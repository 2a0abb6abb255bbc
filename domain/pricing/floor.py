"""The floor of a charge. Put here: the exact reference of `minFee`. Keep out: the models, minimum spend (Commit)."""

from __future__ import annotations

from decimal import Decimal


def at_least(charge: Decimal, floor: Decimal | None) -> Decimal:
    """The charge, or the floor where the charge is below it, also without any usage; unrounded."""
    return charge if floor is None else max(charge, floor)
