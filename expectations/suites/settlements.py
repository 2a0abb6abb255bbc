"""settlements: each invoice comes to the sum of its lines."""

from __future__ import annotations

import polars as pl

from expectations.suite import Cross, Frames, Suite


def _crosses(frame: pl.LazyFrame, related: Frames) -> list[Cross]:
    routed = related["routed_lines"].filter(pl.col("invoice_id").is_not_null())
    sums = routed.group_by("invoice_id").agg(
        line_count=pl.len().cast(pl.Int64),
        line_sum=(pl.col("amount") + pl.col("commit_adjustment") - pl.col("tax_included").fill_null(0)).sum(),
        discounts=pl.col("discount").sum(),
        taxes=pl.col("tax").sum(),
        from_wallet=pl.col("wallet_amount").sum(),
    )
    both = frame.select("invoice_id", "lines", "subtotal", "discount", "tax", "wallet_amount").join(
        sums, on="invoice_id", how="full", coalesce=True
    )
    agrees = (
        (pl.col("lines") == pl.col("line_count"))
        & (pl.col("subtotal") == pl.col("line_sum"))
        & (pl.col("discount") == pl.col("discounts"))
        & (pl.col("tax") == pl.col("taxes"))
        & (pl.col("wallet_amount") == pl.col("from_wallet"))
    )
    return [
        Cross("lines_add_up", "come to the sum of its routed lines", both.filter(~agrees.fill_null(False)))
    ]


SUITE = Suite("settlements", related=("routed_lines",), crosses=_crosses)
