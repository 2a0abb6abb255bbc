"""routed_lines: the taxed lines, each with a place to go."""

from __future__ import annotations

import polars as pl

from expectations.suite import Cross, Frames, Suite
from expectations.suites._lines import same_lines

_UNCHANGED = (
    "amount",
    "commit_adjustment",
    "discount",
    "tax",
)


def _crosses(frame: pl.LazyFrame, related: Frames) -> list[Cross]:
    return [
        *same_lines(frame, related["taxed_lines"], source="taxed_lines", unchanged=_UNCHANGED),
        Cross("payments_add_up", "have payments that come to their wallet amount", _uneven(frame)),
        Cross(
            "no_grant_overspent",
            "take no more of a grant than it has",
            _overspent(frame, related["wallet_balances"]),
        ),
    ]


def _uneven(frame: pl.LazyFrame) -> pl.LazyFrame:
    paid = pl.col("wallet_payments").list.eval(pl.element().struct.field("amount")).list.sum().fill_null(0)
    return frame.filter(pl.col("wallet_amount").fill_null(0) != paid)


def _overspent(frame: pl.LazyFrame, balances: pl.LazyFrame) -> pl.LazyFrame:
    taken = (
        frame.select("tenant_id", "wallet_payments")
        .explode("wallet_payments")
        .drop_nulls("wallet_payments")
        .unnest("wallet_payments")
        .group_by("tenant_id", "grant_id")
        .agg(taken=pl.col("amount").sum())
    )
    known = balances.select("tenant_id", "grant_id", "available")
    return taken.join(known, on=["tenant_id", "grant_id"], how="left").filter(
        pl.col("available").is_null() | (pl.col("taken") > pl.col("available"))
    )


SUITE = Suite("routed_lines", related=("taxed_lines", "wallet_balances"), crosses=_crosses)
