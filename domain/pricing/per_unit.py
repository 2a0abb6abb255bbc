"""PER_UNIT: every unit costs the same. Put here: the exact reference.
Keep out: free units (Allowance), rounding."""

from __future__ import annotations

from decimal import Decimal, localcontext

from domain.money import EXACT


def charge(billable: Decimal | None, *, rate: Decimal) -> Decimal:
    """`billable` units at `rate` each, unrounded. No value, or a negative one, costs 0."""
    with localcontext(EXACT):
        return max(billable or Decimal(0), Decimal(0)) * rate
