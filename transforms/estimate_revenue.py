"""What each event adds. Put here: running totals and exact marginal revenue. Keep out: the price models (charges.py).

marginal revenue = charge(total after) − charge(total before), with the charge of nothing counted into the first event, so
that the marginals of a line sum to the line's unrounded charge, for every model. Order: time of usage, then key hash; so
neither the order of arrival nor the way events were batched changes a number.
Cost: one sort of the month's billable events, then running sums.
"""

from __future__ import annotations

from collections.abc import Callable

import narwhals as nw
import polars as pl

from transforms.charges import charge, event_charge, price_columns, tier_count
from transforms.engine import Events, beside

AT_THE_END = ("AVG", "PERCENTILE_95", "PERCENTILE_99")
"""Aggregations without a meaningful running value: the last event of the period carries the line's whole charge."""
_ORDER = ("line_no", "occurred_at", "key_hash")
_TERM = (
    "line_id", "aggregation", "model", "rate", "flat_amount", "included_free", "block_size", "block_rate_basis", "min_fee",
)  # fmt: skip
_EXACT = nw.Decimal(38, 21)
_QUANTITY = nw.Decimal(38, 9)


def event_charges(billable: Events, terms: pl.DataFrame) -> Events:
    """Billable events with `event_charge`: the event's own charge where the plan has per-event terms, else null."""
    per_event = terms.filter(
        pl.any_horizontal(pl.col("per_event_fee", "per_event_min", "per_event_max").is_not_null())
    )
    if per_event.is_empty():
        return billable.with_columns(event_charge=nw.lit(None, dtype=_EXACT))
    columns = ("line_id", "rate", "per_event_fee", "per_event_min", "per_event_max")
    joined = billable.join(beside(billable, per_event.select(columns)), on="line_id", how="left")
    mine = nw.when(~nw.col("rate").is_null()).then(event_charge(nw.col("quantity")))
    return joined.with_columns(event_charge=mine).drop(*columns[1:])


def estimate_revenue(billable: Events, *, terms: pl.DataFrame, final_values: pl.DataFrame) -> Events:
    """Billable events with `running_total` and `marginal_revenue`.

    terms: the due usage terms. final_values: `line_id, final_value` of lines known only at the end (`AT_THE_END`).
    """
    prices = price_columns(terms)
    tiers = [name for name in prices.columns if name.startswith("tier") and name != "tiers"]
    wanted = (
        prices.select(*_TERM, *tiers)
        .join(final_values, on="line_id", how="left")
        .sort("line_id")
        .with_row_index("line_no")
    )
    priced = billable.join(beside(billable, wanted), on="line_id", how="inner")
    ordered = _in_order(priced)
    totalled = ordered.with_columns(
        running_total=_running_total(set(terms["aggregation"].to_list())),
        running_charges=_running(nw.col("event_charge").cum_sum()),
    )
    zero = nw.lit(0).cast(_QUANTITY)
    over = nw.col("running_total") - nw.col("included_free")
    left = nw.when(over > zero).then(over).otherwise(nw.when(over.is_null()).then(over).otherwise(zero))
    charged = totalled.with_columns(charged=charge(left, nw.col("running_charges"), tier_count(terms)))
    before = _running(nw.col("charged").shift(1)).fill_null(nw.lit(0).cast(_EXACT))
    return charged.with_columns(marginal_revenue=nw.col("charged") - before)


def _in_order(events: Events) -> Events:
    """The events sorted by line and time, with their `position`. Polars keeps a sorted frame's order, others are told."""
    ordered = events.sort(*_ORDER)
    if not events.implementation.is_polars():
        return ordered.with_row_index("position", order_by=list(_ORDER))
    numbered: Events = nw.from_native(nw.to_native(ordered).with_row_index("position"))
    return numbered


def _running(expr: nw.Expr) -> nw.Expr:
    return expr.over("line_no", order_by="position")


def _running_total(aggregations: set[str]) -> nw.Expr:
    """The unit's value after each event; only the aggregations in use are computed."""
    quantity = nw.col("quantity")
    first_seen = nw.col("distinct_value").is_first_distinct().over("line_no", order_by="position")
    ways: dict[str, Callable[[], nw.Expr]] = {
        "COUNT": lambda: _running(quantity.cum_count()).cast(_QUANTITY),
        "SUM": lambda: _running(quantity.cum_sum()),
        "MAX": lambda: _running(quantity.cum_max()),
        "MIN": lambda: _running(quantity.cum_min()),
        "LATEST": lambda: quantity,
        "UNIQUE": lambda: _running(
            (first_seen & ~nw.col("distinct_value").is_null()).cast(nw.Int64).cum_sum()
        ).cast(_QUANTITY),
    }
    last = nw.col("position") == nw.col("position").max().over("line_no")
    total = nw.when(last & nw.col("aggregation").is_in(AT_THE_END)).then(nw.col("final_value"))
    result = total.otherwise(nw.lit(None, dtype=_QUANTITY))
    for aggregation in sorted(aggregations & set(ways)):
        result = nw.when(nw.col("aggregation") == aggregation).then(ways[aggregation]()).otherwise(result)
    return result
