"""Lines in another currency than their prices. Put here: converting them, once, after they are rated. Keep out: which rate holds
(domain.exchange): it is frozen into the terms."""

from __future__ import annotations

import polars as pl

from domain.exchange import exchanged
from transforms.table import AMOUNT


def converted(lines: pl.DataFrame) -> pl.DataFrame:
    """The lines with `amount` in `currency`: `unrounded`, which stays in the currency of the prices, times `fx_rate`, rounded
    once. Lines without a rate stay as they are."""
    if lines["fx_rate"].null_count() == lines.height:
        return lines
    amounts = [
        amount if rate is None else exchanged(unrounded, rate, exponent, rounding)
        for amount, unrounded, rate, exponent, rounding in lines.select(
            "amount", "unrounded", "fx_rate", "exponent", "rounding"
        ).iter_rows()
    ]
    return lines.with_columns(pl.Series("amount", amounts, dtype=AMOUNT))
