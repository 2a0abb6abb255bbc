"""From validated to metered events. Put here: the order of the steps. Keep out: the steps themselves."""

from __future__ import annotations

import narwhals as nw
import polars as pl

from transforms.engine import Events, collected
from transforms.enrich import enrich
from transforms.estimate_revenue import AT_THE_END, estimate_revenue, event_charges
from transforms.frames import METERED_EVENTS
from transforms.s03_aggregate import reduce_usage


def meter(*, validated_events: pl.LazyFrame, terms: pl.DataFrame, month: str) -> pl.DataFrame:
    """METERED_EVENTS of a month (YYYY-MM) under these BILLING_TERMS, in order of line and time."""
    enriched = collected(enrich(nw.from_native(validated_events), terms=terms, month=month))
    billed = pl.col("disposition") == "BILLABLE"
    others = ("tenant_id", "customer_id", "unit", "occurred_at", "key_hash", "raw_seq")
    due = terms.filter(pl.col("due"), pl.col("kind") == "USAGE")
    billable = event_charges(nw.from_native(enriched.filter(billed).lazy()), due)
    late_lines = due.filter(pl.col("aggregation").is_in(AT_THE_END))
    estimated = estimate_revenue(billable, terms=due, final_values=_final_values(billable, late_lines))
    rest = (
        enriched.filter(~billed)
        .sort(others)
        .with_columns(
            pl.lit(None, dtype=METERED_EVENTS.schema[name]).alias(name)
            for name in ("event_charge", "running_total", "marginal_revenue")
        )
    )
    halves = [collected(estimated), rest]
    labelled = (half.with_columns(month=pl.lit(month)) for half in halves)
    return pl.concat([METERED_EVENTS.conform(half) for half in labelled])


def _final_values(billable: Events, lines: pl.DataFrame) -> pl.DataFrame:
    if lines.is_empty():
        return pl.DataFrame(schema={"line_id": pl.String, "final_value": pl.Decimal(38, 9)})
    concerned = billable.filter(nw.col("line_id").is_in(lines["line_id"].to_list()))
    return reduce_usage(concerned, lines).select("line_id", final_value="value")
