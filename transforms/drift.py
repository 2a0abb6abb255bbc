"""Fresh numbers against exact ones. Put here: how far the edge's counters are from the lake. Keep out: reading either."""

from __future__ import annotations

import polars as pl

from transforms.in_force import in_force
from transforms.table import INSTANT, QUANTITY, TEXT

PERIODS: dict[str, pl.DataType | type[pl.DataType]] = {
    "tenant_id": TEXT, "customer_id": TEXT, "unit": TEXT, "aggregation": TEXT, "period_start": INSTANT, "period_end": INSTANT,
}  # fmt: skip
COUNTERS: dict[str, pl.DataType | type[pl.DataType]] = {
    "tenant_id": TEXT,
    "customer_id": TEXT,
    "unit": TEXT,
    "period_start": INSTANT,
    "counted": QUANTITY,
}
DRIFTS: dict[str, pl.DataType | type[pl.DataType]] = {
    **COUNTERS,
    "aggregation": TEXT,
    "in_lake": QUANTITY,
    "drift": QUANTITY,
}
_COUNTER = ["tenant_id", "customer_id", "unit", "period_start"]


def drift(*, counters: pl.DataFrame, periods: pl.DataFrame, validated_events: pl.LazyFrame) -> pl.DataFrame:
    """`tenant_id, customer_id, unit, period_start, counted, aggregation, in_lake, drift` of each counter that follows from quantities
    (COUNT, SUM, MAX).

    counters, periods: columns COUNTERS and PERIODS. The edge counts millionths, event by event, so the lake is read the same
    way; subscriptions that share a unit and the start of a period share a counter. Events still in the log are in the
    counter and not yet in the lake, so a positive drift under load is normal; a negative one means that the edge has lost
    counts.
    """
    compared = (
        periods.filter(pl.col("aggregation").is_in(["COUNT", "SUM", "MAX"]))
        .group_by(*_COUNTER, "aggregation")
        .agg(pl.col("period_end").max())
    )
    if compared.is_empty():
        return pl.DataFrame(schema=DRIFTS)
    since = compared["period_start"].min()
    amount = (
        pl.when(pl.col("aggregation") == "COUNT")
        .then(pl.lit(1, dtype=QUANTITY))
        .otherwise(pl.col("quantity").round(6, mode="half_to_even"))
    )
    is_largest = pl.col("aggregation").first() == "MAX"
    in_lake = (
        of_periods(in_force(validated_events).filter(pl.col("occurred_at") >= since), compared)
        .group_by(_COUNTER)
        .agg(in_lake=pl.when(is_largest).then(amount.max()).otherwise(amount.sum()))
        .collect()
    )
    zero = pl.lit(0, dtype=QUANTITY)
    return (
        compared.select(*_COUNTER, "aggregation")
        .join(counters, on=_COUNTER, how="left")
        .join(in_lake, on=_COUNTER, how="left")
        .with_columns(counted=pl.coalesce("counted", zero), in_lake=pl.coalesce("in_lake", zero))
        .with_columns(drift=pl.col("counted") - pl.col("in_lake"))
        .select(*DRIFTS)
        .sort(_COUNTER)
    )


def of_periods(events: pl.LazyFrame, periods: pl.DataFrame) -> pl.LazyFrame:
    """The events (columns of VALIDATED_EVENTS) in these periods (columns PERIODS), each with its period's columns; once for each period
    it is in."""
    return events.join(periods.lazy(), on=["tenant_id", "customer_id", "unit"], how="inner").filter(
        pl.col("occurred_at") >= pl.col("period_start"), pl.col("occurred_at") < pl.col("period_end")
    )
