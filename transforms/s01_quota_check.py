"""Stage 1, QuotaCheck: hard caps. Put here: what a cap means for the period. Keep out: free units
(Allowance), refusing usage at the door."""

from __future__ import annotations

import narwhals as nw
import polars as pl

from transforms.frames import QUANTITY, QUOTA_CHECKS
from transforms.s03_aggregate import reduce_usage
from transforms.shared_caps import with_shared_caps
from transforms.terms import HARD_CAP, LINE_ORDER, with_carried


def quota_check(
    *, metered_events: pl.LazyFrame, terms: pl.DataFrame, rollovers: pl.DataFrame | None = None
) -> pl.DataFrame:
    """QUOTA_CHECKS: one row per due USAGE term, and for those with a hard cap how much usage lies beyond it.

    A cap whose overage is charged limits nothing. Usage counts in order of time, then key hash: what comes after the cap is
    reached is beyond, and an event that crosses it counts up to it. BLOCK and IGNORE bill the same; BLOCK says so on the line.
    rollovers: ROLLOVERS, frozen before metering; a cap that is the free units grows by those carried in. Prices by
    dimension share their unit's cap (transforms.shared_caps).
    """
    billable = metered_events.filter(pl.col("disposition") == "BILLABLE")
    agreed = with_shared_caps(with_carried(terms, rollovers), billable)
    usage = agreed.filter(pl.col("kind") == "USAGE").with_columns(hard=HARD_CAP).sort(LINE_ORDER)
    capped = usage.filter(pl.col("hard").is_not_null())
    rows = usage.join(_used(metered_events, capped), on="line_id", how="left", maintain_order="left")
    beyond = pl.max_horizontal(pl.col("used") - pl.col("hard"), pl.lit(0, dtype=QUANTITY))
    over = pl.col("beyond").fill_null(0) > 0
    verdict = (
        pl.when(pl.col("hard").is_null())
        .then(pl.lit("UNCAPPED"))
        .when(~over)
        .then(pl.lit("WITHIN"))
        .otherwise(pl.when(cap_behavior="IGNORE").then(pl.lit("IGNORED")).otherwise(pl.lit("BLOCKED")))
    )
    return QUOTA_CHECKS.conform(
        rows.with_columns(
            cap=pl.coalesce("shared_cap", "cap"), beyond=pl.when(pl.col("hard").is_not_null()).then(beyond)
        ).with_columns(verdict=verdict)
    )


def _used(metered_events: pl.LazyFrame, capped: pl.DataFrame) -> pl.DataFrame:
    """`line_id, used, events_beyond, first_beyond_at` of the capped lines that have events."""
    if capped.is_empty():
        nothing = QUOTA_CHECKS.empty()
        return nothing.select("line_id", "used", "events_beyond", "first_beyond_at")
    events = metered_events.filter(
        pl.col("disposition") == "BILLABLE", pl.col("line_id").is_in(capped["line_id"].implode())
    )
    values = reduce_usage(nw.from_native(events), capped).select("line_id", used="value")
    beyond = (
        events.join(capped.lazy().select("line_id", "hard"), on="line_id")
        .filter(pl.col("running_total") > pl.col("hard"))
        .group_by("line_id")
        .agg(events_beyond=pl.len(), first_beyond_at=pl.col("occurred_at").min())
        .collect()
    )
    return values.join(beyond, on="line_id", how="left").with_columns(pl.col("events_beyond").fill_null(0))
