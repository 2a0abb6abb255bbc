"""usage_aggregates: every metered event counted in exactly one row, and no row without terms."""

from __future__ import annotations

import polars as pl

from expectations.suite import Cross, Frames, Suite
from expectations.suites._lines import all_lines
from transforms.frames import QUANTITY

_UNPRICED = ["NO_SUBSCRIPTION", "NO_PRICE"]


def _crosses(frame: pl.LazyFrame, related: Frames) -> list[Cross]:
    metered = related["metered_events"]
    billed = frame.filter(pl.col("disposition") == "BILLABLE")
    return [
        *all_lines(billed, related["billing_terms"]),
        *_billed_in_full(billed, metered),
        _nothing_overlooked(frame, metered),
    ]


def _billed_in_full(billed: pl.LazyFrame, metered: pl.LazyFrame) -> list[Cross]:
    counted = (
        metered.filter(pl.col("disposition") == "BILLABLE")
        .group_by("line_id")
        .agg(metered=pl.len(), total=pl.col("quantity").sum())
    )
    both = billed.select("line_id", "unit", "aggregation", "events", "value").join(
        counted, on="line_id", how="full", coalesce=True
    )
    miscounted = both.filter(pl.col("events").fill_null(0) != pl.col("metered").fill_null(0))
    expected = (
        pl.when(aggregation="SUM")
        .then(pl.col("total").fill_null(0))
        .when(aggregation="COUNT")
        .then(pl.col("metered").fill_null(0).cast(QUANTITY))
    )
    return [
        Cross("every_event_counted", "count each line's metered events, all of them", miscounted),
        Cross(
            "sums_add_up",
            "come to the sum, or the number, of its metered events",
            both.filter(expected.is_not_null() & expected.ne_missing(pl.col("value"))),
        ),
    ]


def _nothing_overlooked(frame: pl.LazyFrame, metered: pl.LazyFrame) -> Cross:
    by_unit = ["tenant_id", "customer_id", "unit", "disposition"]
    unpriced = metered.filter(pl.col("disposition").is_in(_UNPRICED)).group_by(by_unit).agg(metered=pl.len())
    overlooked = (
        frame.filter(pl.col("disposition").is_in(_UNPRICED))
        .select(*by_unit, "events")
        .join(unpriced, on=by_unit, how="full", coalesce=True)
        .filter(pl.col("events").fill_null(0) != pl.col("metered").fill_null(0))
    )
    return Cross("no_usage_overlooked", "show all usage that nothing prices", overlooked)


SUITE = Suite("usage_aggregates", related=("billing_terms", "metered_events"), crosses=_crosses)
