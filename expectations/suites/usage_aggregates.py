"""usage_aggregates: every metered event counted in exactly one row, and no row without terms."""

from __future__ import annotations

import polars as pl

from expectations.suite import Cross, Frames, Suite
from expectations.suites._lines import known_lines

_UNPRICED = ["NO_SUBSCRIPTION", "NO_PRICE"]


def _crosses(frame: pl.LazyFrame, related: Frames) -> list[Cross]:
    metered = related["metered_events"]
    billed = frame.filter(pl.col("disposition") == "BILLABLE")
    counted = metered.filter(pl.col("disposition") == "BILLABLE").group_by("line_id").agg(metered=pl.len())
    miscounted = (
        billed.select("line_id", "unit", "events")
        .join(counted, on="line_id", how="full", coalesce=True)
        .filter(pl.col("events").fill_null(0) != pl.col("metered").fill_null(0))
    )
    by_unit = ["tenant_id", "customer_id", "unit", "disposition"]
    unpriced = metered.filter(pl.col("disposition").is_in(_UNPRICED)).group_by(by_unit).agg(metered=pl.len())
    overlooked = (
        frame.filter(pl.col("disposition").is_in(_UNPRICED))
        .select(*by_unit, "events")
        .join(unpriced, on=by_unit, how="full", coalesce=True)
        .filter(pl.col("events").fill_null(0) != pl.col("metered").fill_null(0))
    )
    return [
        known_lines(billed, related["billing_terms"]),
        Cross("every_event_counted", "count each line's metered events, all of them", miscounted),
        Cross("no_usage_overlooked", "show all usage that nothing prices", overlooked),
    ]


SUITE = Suite("usage_aggregates", related=("billing_terms", "metered_events"), crosses=_crosses)
