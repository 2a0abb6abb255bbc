"""Free units of lines that share them. Put here: how many each line gets, for metering and for Allowance alike. Keep out: what is
carried over (Rollover), subtracting them (Allowance)."""

from __future__ import annotations

import polars as pl

from transforms.table import QUANTITY


def shared_out(lines: pl.DataFrame) -> pl.DataFrame:
    """The lines with `free` as each may use it up. lines: `free, used, free_pool, line_order, line_id`, used ≥ 0.

    A unit's prices by dimension share its free units: they cover the unit's own price first, then the values in the plan's order.
    Lines that share nothing keep what they have.
    """
    if lines["free_pool"].null_count() == lines.height:
        return lines
    before = pl.col("used").cum_sum().over("free_pool", order_by=["line_order", "line_id"]) - pl.col("used")
    left = pl.max_horizontal(pl.col("free").sum().over("free_pool") - before, pl.lit(0, dtype=QUANTITY))
    return lines.with_columns(
        free=pl.when(pl.col("free_pool").is_null())
        .then("free")
        .otherwise(pl.min_horizontal(left, "used"))
        .cast(QUANTITY)
    )
