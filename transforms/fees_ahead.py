"""Fees in advance and what is agreed for a period. Put here: which period a fee counts for. Keep out: when it is due
(domain.terms_of_fees), minimums and commitments themselves (Commit)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import polars as pl

from domain.money import prorate, round_money

OF_ANOTHER_BILL = pl.col("kind").is_in(["ADVANCE_FEE", "FEE_CREDIT"])
"""On BILLING_TERMS: fees that count for another period than the bill's, or take back what an earlier bill charged."""


def charged_ahead(agreed: Mapping[str, Any]) -> Decimal:
    """What an earlier bill charged for the stretch of the period that these terms are about, less what comes back of it, at list price.

    agreed: `fee_ahead, active_start, active_end, period_start, period_end, exponent, rounding`.
    """
    fee = agreed["fee_ahead"]
    if fee is None:
        return Decimal(0)
    live, whole = agreed["active_end"] - agreed["active_start"], agreed["period_end"] - agreed["period_start"]
    rounding = agreed["exponent"], agreed["rounding"]
    return round_money(fee, *rounding) - round_money(fee - prorate(fee, live, whole), *rounding)
