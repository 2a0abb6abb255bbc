"""allowances: the usage of stage 3, split into free, covered and payable."""

from __future__ import annotations

import polars as pl

from expectations.suite import Cross, Frames, Suite
from expectations.suites._lines import same_lines

_WHOSE = ("tenant_id", "customer_id", "unit")


def _crosses(frame: pl.LazyFrame, related: Frames) -> list[Cross]:
    billed = related["usage_aggregates"].filter(pl.col("disposition") == "BILLABLE")
    return [
        *same_lines(frame, billed, source="usage_aggregates", unchanged=("value", "events")),
        Cross(
            "no_grant_overdrawn",
            "draw no more of a grant than it has",
            _overdrawn(frame, related["bonus_balances"]),
        ),
    ]


def _overdrawn(frame: pl.LazyFrame, balances: pl.LazyFrame) -> pl.LazyFrame:
    drawn = (
        frame.select(*_WHOSE, "bonus_draws")
        .explode("bonus_draws")
        .drop_nulls("bonus_draws")
        .unnest("bonus_draws")
        .group_by(*_WHOSE, "grant_id")
        .agg(drawn=pl.col("units").sum())
    )
    known = balances.select(*_WHOSE, "grant_id", "available")
    return drawn.join(known, on=[*_WHOSE, "grant_id"], how="left").filter(
        pl.col("available").is_null() | (pl.col("drawn") > pl.col("available"))
    )


SUITE = Suite("allowances", related=("usage_aggregates", "bonus_balances"), crosses=_crosses)
