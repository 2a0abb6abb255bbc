"""invoices: the settlements, each once, with a number of its own."""

from __future__ import annotations

import polars as pl

from expectations.suite import Cross, Frames, Suite


def _crosses(frame: pl.LazyFrame, related: Frames) -> list[Cross]:
    money = ["invoice_id", "subtotal", "discount", "tax", "total", "amount_due"]
    drafts = frame.filter(pl.col("status") == "DRAFT").select(money)
    settled = related["settlements"].select(money)
    numbers = (
        frame.group_by("tenant_id", "billing_entity", "number")
        .agg(times=pl.len())
        .filter(pl.col("times") > 1)
    )
    return [
        Cross(
            "settled_as_is",
            "have the sums of its settlement while it is a draft",
            drafts.join(settled, on=money, how="anti"),
        ),
        Cross(
            "no_settlement_lost", "invoice every settlement", settled.join(frame, on="invoice_id", how="anti")
        ),
        Cross("number_unique", "give each number once per issuer", numbers),
    ]


SUITE = Suite("invoices", related=("settlements",), crosses=_crosses)
