"""PERCENTAGE: a share of the value transacted, with a floor. Put here: the exact reference.
Keep out: rounding."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal, localcontext

from domain.money import EXACT

_ZERO = Decimal(0)


def charge(billable: Decimal | None, *, rate: Decimal, min_fee: Decimal | None = None) -> Decimal:
    """`rate` (a fraction: 0.025 is 2.5 %) of `billable`, at least `min_fee`; unrounded.

    No value, a negative one, or a negative rate costs the floor.
    """
    with localcontext(EXACT):
        return max(max(billable or _ZERO, _ZERO) * rate, min_fee or _ZERO)


def event_charge(
    quantity: Decimal,
    *,
    rate: Decimal,
    fee: Decimal | None = None,
    least: Decimal | None = None,
    greatest: Decimal | None = None,
) -> Decimal:
    """One event's own charge: `rate` of it plus `fee`, within [`least`, `greatest`]; unrounded.

    A correction (negative quantity) takes back exactly what the event it reverses was charged.
    """
    with localcontext(EXACT):
        own = abs(quantity) * rate + (fee or _ZERO)
        if least is not None:
            own = max(own, least)
        if greatest is not None:
            own = min(own, greatest)
        return own if quantity >= 0 else -own


def charge_by_event(event_charges: Iterable[Decimal], *, min_fee: Decimal | None = None) -> Decimal:
    """The sum of the events' own charges, at least `min_fee`; unrounded."""
    with localcontext(EXACT):
        return max(sum(event_charges, _ZERO), min_fee or _ZERO)
