"""Stage 3, Aggregate: the period's events of each unit reduced to one value, as the unit says.

Always from the period's events, never from partial results: averages, maxima, uniques and percentiles do not add up.
Percentiles are nearest rank. Cost: one hash aggregation over the month's billable events; lines with percentiles, uniques or
the latest value are sorted besides.
"""

from __future__ import annotations

import hashlib
from decimal import ROUND_HALF_EVEN, Context, Decimal

import narwhals as nw
import polars as pl

from transforms.charges import ROUGHLY_ALL
from transforms.engine import Events, collected, read
from transforms.frames import USAGE_AGGREGATES

PERCENTILES = {"PERCENTILE_95": 95, "PERCENTILE_99": 99}
_ZERO_WITHOUT_EVENTS = ("COUNT", "SUM", "UNIQUE")
_VALUE = USAGE_AGGREGATES.schema["value"]
_STEP = Decimal(1).scaleb(-9)
_MEAN = Context(prec=60, rounding=ROUND_HALF_EVEN)


def aggregate(
    *, metered_events: pl.LazyFrame, quota_checks: pl.DataFrame, terms: pl.DataFrame
) -> pl.DataFrame:
    """USAGE_AGGREGATES: a row for each due line with usage terms, and one for each kind of usage nothing prices.

    quota_checks: how much of each line's value lies beyond its hard cap; the value itself counts all events.
    """
    usage = terms.filter(pl.col("due"), pl.col("kind") == "USAGE")
    lines = usage.join(
        quota_checks.select("line_id", "beyond"), on="line_id", how="inner", maintain_order="left"
    )
    events = metered_events.filter(pl.col("disposition") == "BILLABLE")
    reduced = reduce_usage(nw.from_native(events), lines)
    empty_value = pl.when(pl.col("aggregation").is_in(_ZERO_WITHOUT_EVENTS)).then(pl.lit(0))
    billed = lines.join(reduced, on="line_id", how="left").with_columns(
        pl.coalesce("value", empty_value).alias("value"),
        pl.col("events", "late_events").fill_null(0),
        disposition=pl.lit("BILLABLE"),
    )
    rows = pl.concat([USAGE_AGGREGATES.conform(billed), _unpriced(metered_events)])
    return rows.sort("tenant_id", "customer_id", "line_id")


def reduce_usage(billable: Events, lines: pl.DataFrame) -> pl.DataFrame:
    """`line_id, value, events, late_events, event_charges, first_at, last_at` of each line that has events.

    lines: `line_id, aggregation`. A line's value is null where its aggregation finds nothing to count.
    """
    kinds = dict.fromkeys(lines["aggregation"].to_list())
    summed = billable.group_by("line_id").agg(
        events=nw.len(),
        late_events=nw.col("late").cast(nw.Int64).sum(),
        total=nw.col("quantity").sum(),
        least=nw.col("quantity").min(),
        greatest=nw.col("quantity").max(),
        first_at=nw.col("occurred_at").min(),
        last_at=nw.col("occurred_at").max(),
    )
    result = (
        collected(summed, from_files=True)
        .join(lines.select("line_id", "aggregation"), on="line_id", how="inner")
        .join(_charges(billable), on="line_id", how="left")
    )
    by_kind = {
        "COUNT": pl.col("events").cast(_VALUE),
        "SUM": pl.col("total"),
        "MIN": pl.col("least"),
        "MAX": pl.col("greatest"),
        "AVG": pl.struct("total", "events").map_batches(_means, return_dtype=_VALUE),
    }
    value = pl.lit(None, dtype=_VALUE)
    for kind, expr in by_kind.items():
        value = pl.when(pl.col("aggregation") == kind).then(expr.cast(_VALUE)).otherwise(value)
    result = result.with_columns(value=value)
    for kind in kinds:
        if kind in _SPECIAL:
            ids = lines.filter(pl.col("aggregation") == kind)["line_id"].to_list()
            found = collected(
                _SPECIAL[kind](billable.filter(nw.col("line_id").is_in(ids)), kind), from_files=True
            )
            result = result.join(found, on="line_id", how="left").with_columns(
                value=pl.coalesce("special", "value").cast(_VALUE)
            ).drop("special")  # fmt: skip
    return result.drop("aggregation", "total", "least", "greatest")


def _charges(billable: Events) -> pl.DataFrame:
    """`line_id, event_charges` of lines whose events have charges of their own; null where they are too much. Rate holds such a line.

    A sum that does not fit goes round silently, and is told by its size; the engine that reads files would fail instead.
    """
    own = read(billable.filter(~nw.col("event_charge").is_null()).select("line_id", "event_charge"))
    charge = nw.col("event_charge")
    sums = own.group_by("line_id").agg(
        event_charges=charge.sum(), rough_charges=charge.cast(nw.Float64).abs().sum()
    )
    fits = pl.col("rough_charges") < ROUGHLY_ALL
    return collected(sums).select("line_id", event_charges=pl.when(fits).then("event_charges"))


def _means(sums: pl.Series) -> pl.Series:
    """total ÷ events of each line, half to even at nine places. In Decimal: a frame's division would lose the remainder."""
    total, events = sums.struct.field("total"), sums.struct.field("events")
    means = [
        _MEAN.divide(whole, Decimal(parts)).quantize(_STEP, context=_MEAN)
        for whole, parts in zip(total, events, strict=True)
    ]
    return pl.Series(means, dtype=_VALUE)


def _unique(events: Events, _: str) -> Events:
    return events.group_by("line_id").agg(
        special=nw.col("distinct_value").n_unique() - nw.col("distinct_value").is_null().any().cast(nw.Int64)
    )


def _latest(events: Events, _: str) -> Events:
    ranked = events.with_row_index("place", order_by=["line_id", "occurred_at", "key_hash"])
    last = ranked.filter(nw.col("place") == nw.col("place").max().over("line_id"))
    return last.select("line_id", special=nw.col("quantity"))


def _percentile(events: Events, kind: str) -> Events:
    """Nearest rank: the value at place ⌈p · n / 100⌉ of the sorted quantities."""
    ranked = events.with_row_index("at", order_by=["line_id", "quantity", "key_hash"])
    placed = ranked.with_columns(
        place=nw.col("at").cast(nw.Int64) - nw.col("at").cast(nw.Int64).min().over("line_id") + 1,
        n=nw.len().over("line_id").cast(nw.Int64),
    )
    wanted = (nw.col("n") * PERCENTILES[kind] + 99) // 100
    return placed.filter(nw.col("place") == wanted).select("line_id", special=nw.col("quantity"))


_SPECIAL = {"UNIQUE": _unique, "LATEST": _latest, **dict.fromkeys(PERCENTILES, _percentile)}


def _unpriced(metered_events: pl.LazyFrame) -> pl.DataFrame:
    """One row per customer, subscription and unit of usage that nothing prices: visible, never silently free."""
    found = (
        metered_events.filter(pl.col("disposition").is_in(["NO_SUBSCRIPTION", "NO_PRICE"]))
        .group_by("month", "tenant_id", "customer_id", "unit", "disposition")
        .agg(
            events=pl.len(),
            late_events=pl.col("late").sum(),
            value=pl.col("quantity").sum(),
            first_at=pl.col("occurred_at").min(),
            last_at=pl.col("occurred_at").max(),
        )
        .collect()
    )
    ids = [
        "un_" + hashlib.sha256("\0".join(row).encode()).hexdigest()[:20]
        for row in found.select("month", "tenant_id", "customer_id", "unit", "disposition").iter_rows()
    ]
    nothing = ("subscription_id", "aggregation", "event_charges", "beyond")
    return USAGE_AGGREGATES.conform(
        found.with_columns(
            pl.Series("line_id", ids, dtype=pl.String),
            *(pl.lit(None).alias(name) for name in nothing),
        )
    )
