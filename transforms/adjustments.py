"""Credits of closed months. Put here: how much of them an invoice can carry. Keep out: what is to be adjusted (compare), the lines
themselves (adjustment_lines)."""

from __future__ import annotations

from decimal import Decimal

import polars as pl

from transforms.adjustment_lines import ADJUSTMENT
from transforms.frames import AMOUNT
from transforms.s07_discount import discount
from transforms.terms import LINE_ORDER

IS_ADJUSTMENT = pl.col("line_type") == ADJUSTMENT
_INVOICE = ["month", "tenant_id", "customer_id", "currency"]


def carried_forward(*, committed_lines: pl.DataFrame, terms: pl.DataFrame) -> pl.DataFrame:
    """COMMITTED_LINES in which credits of closed months take no invoice below zero: what is more than the invoice's other lines
    come to after discounts is cut from the credit (`commit_adjustment`), the last credit first, and stays to be billed later."""
    credits = committed_lines.filter(IS_ADJUSTMENT & (pl.col("amount") < 0))
    if credits.is_empty():
        return committed_lines
    others = committed_lines.join(credits, on="line_id", how="anti")
    after = discount(committed_lines=others, terms=terms)
    worth = pl.col("amount") + pl.col("commit_adjustment") - pl.col("discount")
    room = {
        tuple(key): total
        for *key, total in after.filter(pl.col("currency").is_not_null())
        .group_by(_INVOICE)
        .agg(worth.sum())
        .iter_rows()
    }
    cut = {}
    for line in credits.sort(LINE_ORDER).iter_rows(named=True):
        key = tuple(line[name] for name in _INVOICE)
        left = max(room.get(key, Decimal(0)), Decimal(0))
        used = min(-line["amount"], left)
        room[key] = left - used
        cut[line["line_id"]] = -line["amount"] - used
    kept = pl.DataFrame({"line_id": list(cut), "cut": pl.Series(list(cut.values()), dtype=AMOUNT)})
    lines = committed_lines.join(kept, on="line_id", how="left", maintain_order="left")
    return lines.with_columns(commit_adjustment=pl.coalesce("cut", "commit_adjustment").cast(AMOUNT)).drop(
        "cut"
    )
