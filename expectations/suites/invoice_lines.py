"""invoice_lines: every line on an invoice that exists, and every invoice the sum of its lines."""

from __future__ import annotations

import polars as pl

from expectations.suite import Cross, Frames, Suite


def _crosses(frame: pl.LazyFrame, related: Frames) -> list[Cross]:
    invoices = related["invoices"].select("invoice_id", "subtotal", "discount", "tax", "lines")
    sums = frame.group_by("invoice_id").agg(
        line_sum=(pl.col("amount") + pl.col("commit_adjustment") - pl.col("tax_included").fill_null(0)).sum(),
        line_discount=pl.col("discount").sum(),
        line_tax=pl.col("tax").sum(),
        line_count=pl.len().cast(pl.Int64),
    )
    both = invoices.join(sums, on="invoice_id", how="left")
    agrees = (
        (pl.col("subtotal") == pl.col("line_sum"))
        & (pl.col("discount") == pl.col("line_discount"))
        & (pl.col("tax") == pl.col("line_tax"))
        & (pl.col("lines") == pl.col("line_count"))
    )
    return [
        Cross(
            "no_orphan_line",
            "be on an invoice that exists",
            frame.select("line_id", "invoice_id", "description", "amount").join(
                invoices, on="invoice_id", how="anti"
            ),
        ),
        Cross(
            "invoice_adds_up",
            "sum to the subtotal, discount and tax of their invoice",
            both.filter(~agrees.fill_null(False)),
        ),
    ]


SUITE = Suite("invoice_lines", related=("invoices",), crosses=_crosses)
