"""An interim invoice's lines. Put here: what an open period's usage has come to since it was billed last. Keep out: when that is enough
(storage.services), giving it back on the closing bill (interim_lines)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import polars as pl

from domain.commitment import DRAW, OVERAGE
from transforms.frames import DISCOUNTED_LINES, ROUTED_LINES
from transforms.s08_tax import tax
from transforms.terms import due

_ADDS_UP = ("SUM", "COUNT")
Billed = tuple[Decimal, Decimal, int]
"""Of a line: what interim invoices charged before tax, for which quantity and how many events."""


def accrued_lines(
    discounted_lines: pl.DataFrame, terms: pl.DataFrame, subscription_id: str, period_start: datetime
) -> pl.DataFrame:
    """DISCOUNTED_LINES of the subscription's period that are usage, or what a commitment makes of it, with `aggregation` and
    `charged`: what each comes to before tax that is added."""
    of_usage = (pl.col("line_type") == "USAGE_FEE") | pl.col("model").is_in([DRAW, OVERAGE])
    mine = (pl.col("subscription_id") == subscription_id) & (pl.col("period_start") == period_start)
    charged = pl.col("amount") + pl.col("commit_adjustment") - pl.col("discount")
    return (
        discounted_lines.filter(of_usage & mine)
        .join(terms.select("line_id", "aggregation"), on="line_id", how="left")
        .with_columns(charged=charged)
    )


def since(usage: pl.DataFrame, before: Mapping[str, Billed], at: datetime) -> pl.DataFrame:
    """DISCOUNTED_LINES: what the accrued lines have come to until `at` since they were billed last, one charge each, without those
    that have not moved."""
    rows = []
    for line in usage.iter_rows(named=True):
        amount, quantity, events = before.get(line["line_id"], (Decimal(0), Decimal(0), 0))
        more: dict[str, Any] = {"amount": line["charged"] - amount, "events": line["events"] - events}
        if line["aggregation"] in _ADDS_UP and line["quantity"] is not None:
            more["quantity"] = line["quantity"] - quantity
        # A price explains only what is billed from the first unit on, and in full.
        if line["line_id"] in before or line["charged"] != line["amount"]:
            more |= dict.fromkeys(("tiers", "included", "billable", "fx_rate", "price_currency"))
            more["unrounded"] = more["amount"]
        if more["amount"]:
            zero = Decimal(0)
            rows.append(line | more | {"commit_adjustment": zero, "discount": zero, "period_end": at})
    found = pl.DataFrame(
        [{name: row[name] for name in DISCOUNTED_LINES.schema} for row in rows],
        schema=DISCOUNTED_LINES.schema,
    )
    return DISCOUNTED_LINES.conform(found)


def interim_invoice(lines: pl.DataFrame, terms: pl.DataFrame, invoice_id: str) -> pl.DataFrame:
    """ROUTED_LINES of an interim invoice of these lines, taxed by themselves. terms: BILLING_TERMS."""
    # Bonus units are taken by the closing bill, for the whole of the period.
    unset = ("hold_reason", "wallet_payments", "bonus_draws")
    return ROUTED_LINES.conform(
        tax(discounted_lines=lines, terms=due(terms)).with_columns(
            destination=pl.lit("INVOICE"),
            invoice_id=pl.lit(invoice_id),
            wallet_amount=pl.lit(0),
            **{name: pl.lit(None, dtype=ROUTED_LINES.schema[name]) for name in unset},
        )
    )
