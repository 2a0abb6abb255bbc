"""INCLUDED_QUOTA: units beyond the free ones, singly or in whole blocks. Put here: the exact reference.
Keep out: the free units themselves (Allowance subtracts them, and it alone), rounding."""

from __future__ import annotations

from decimal import Decimal, localcontext

from domain.errors import PermanentFailure
from domain.money import EXACT

BLOCK_RATE_BASES = ("PER_BLOCK", "PER_UNIT")


class UnknownBlockRateBasis(PermanentFailure):
    code = "UNKNOWN_BLOCK_RATE_BASIS"

    def __init__(self, basis: str) -> None:
        super().__init__(f"blockRateBasis {basis!r} is not known; use one of {', '.join(BLOCK_RATE_BASES)}")


def charge(
    billable: Decimal | None,
    *,
    rate: Decimal,
    block_size: Decimal | None = None,
    block_rate_basis: str | None = "PER_BLOCK",
) -> Decimal:
    """The overage's charge, unrounded. Without `block_size` each unit costs `rate`. With it, blocks are
    billed whole: at `rate` a block (PER_BLOCK), or at `rate` for each unit it could hold (PER_UNIT)."""
    basis = block_rate_basis or "PER_BLOCK"
    if basis not in BLOCK_RATE_BASES:
        raise UnknownBlockRateBasis(basis)
    with localcontext(EXACT):
        over = max(billable or Decimal(0), Decimal(0))
        if not block_size:
            return over * rate
        blocks = over // block_size + (1 if over % block_size else 0)
        return blocks * rate if basis == "PER_BLOCK" else blocks * block_size * rate
