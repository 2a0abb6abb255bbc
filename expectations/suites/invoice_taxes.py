"""invoice_taxes: the taxes of each invoice come to what its lines are taxed."""

from __future__ import annotations

import polars as pl

from expectations.suite import Cross, Frames, Suite


def _crosses(frame: pl.LazyFrame, related: Frames) -> list[Cross]:
    lines = related["invoice_lines"].filter(pl.col("taxes").list.len() > 0)
    of_lines = lines.group_by("invoice_id").agg(line_taxes=pl.col("tax").sum())
    taxes = frame.group_by("invoice_id").agg(tax=pl.col("tax").sum())
    both = taxes.join(of_lines, on="invoice_id", how="full", coalesce=True)
    agrees = (pl.col("tax") == pl.col("line_taxes")).fill_null(False)
    return [Cross("taxes_add_up", "come to the sum of its lines' tax", both.filter(~agrees))]


SUITE = Suite("invoice_taxes", related=("invoice_lines",), crosses=_crosses)
