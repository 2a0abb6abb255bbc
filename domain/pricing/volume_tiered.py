"""VOLUME_TIERED: the whole quantity at the price of the band its total falls in. Put here: the exact
reference. Keep out: rounding."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, localcontext

from domain.money import EXACT
from domain.pricing.tiers import Tier, TierCharge, require_usable


def charge(billable: Decimal | None, *, tiers: Sequence[Tier]) -> Decimal:
    """The quantity at its band's price plus its flat fee, unrounded; 0 without usage. Raises `BadTiers`."""
    with localcontext(EXACT):
        return sum((band.amount for band in breakdown(billable, tiers=tiers)), Decimal(0))


def breakdown(billable: Decimal | None, *, tiers: Sequence[Tier]) -> list[TierCharge]:
    """The one band that prices all units; none without usage. Raises `BadTiers`."""
    require_usable(tiers)
    if billable is None or billable <= 0:
        return []
    tier = next(tier for tier in tiers if tier.up_to is None or billable <= tier.up_to)
    with localcontext(EXACT):
        amount = billable * tier.unit_price + tier.flat_fee
    return [TierCharge(tier.up_to, billable, tier.unit_price, tier.flat_fee, amount)]
