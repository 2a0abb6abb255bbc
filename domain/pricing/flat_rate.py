"""FLAT_RATE: the period costs the same whatever is used. Put here: the exact reference.
Keep out: proration, rounding."""

from __future__ import annotations

from decimal import Decimal


def charge(billable: Decimal | None, *, flat_amount: Decimal) -> Decimal:
    """`flat_amount`, also for a period without any usage."""
    del billable  # the point of the model
    return flat_amount
