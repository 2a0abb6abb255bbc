"""What each event adds. Put here: running totals and exact marginal revenue. Keep out: the price models (charges.py).

marginal revenue = charge(total after) − charge(total before), with the charge of nothing counted into the first event, so
that the marginals of a line sum to the line's unrounded charge, for every model. Order: time of usage, then key hash; so
neither the order of arrival nor the way events were batched changes a number.
Cost: one sort of the month's billable events, then running sums.
"""

from __future__ import annotations

import narwhals as nw
import polars as pl

from transforms.bonus_units import concerned, cover
from transforms.charges import (
    ROUGHLY_ALL,
    charge,
    event_charge,
    largest,
    may_be_too_much,
    price_columns,
    tier_count,
)
from transforms.engine import Events, beside, collected, looked_up, row_by_row, running
from transforms.proration import prorated
from transforms.table import QUANTITY
from transforms.terms import HARD_CAP

AT_THE_END = ("AVG", "PERCENTILE_95", "PERCENTILE_99")
"""Aggregations without a meaningful running value: the last event of the period carries the line's whole charge."""
_ORDER = ("term_no", "occurred_at", "key_hash", "raw_seq")
_COUNTING = ("aggregation", "included_free")
_PRICING = ("model", "rate", "flat_amount", "block_size", "block_rate_basis", "min_fee")
_OWN = ("per_event_fee", "per_event_min", "per_event_max")
_EXACT = nw.Decimal(38, 21)
_QUANTITY = nw.Decimal(38, 9)


def event_charges(billable: Events, *, usage: pl.DataFrame) -> Events:
    """Billable events with `event_charge`: the event's own charge where the plan has per-event terms, else null.

    usage: the terms of usage, row n the terms of events with `term_no` n.
    """
    own = usage.filter(pl.any_horizontal(pl.col(_OWN).is_not_null()))["term_no"].to_list()
    nothing = nw.lit(None, dtype=_EXACT)
    if not own:
        return billable.with_columns(event_charge=nothing)
    concerned = nw.col("term_no").is_in(own)
    mine = nw.when(~nw.col("rate").is_null()).then(event_charge(nw.col("quantity")))
    prices = usage.select("model", "rate", *_OWN)
    charged = row_by_row(billable.filter(concerned), prices, mine, at="term_no", name="event_charge")
    return nw.concat([charged, billable.filter(~concerned).with_columns(event_charge=nothing)])


def estimate_revenue(
    billable: Events,
    *,
    usage: pl.DataFrame,
    final_values: pl.DataFrame,
    bonus_balances: pl.DataFrame | None = None,
) -> Events:
    """Billable events, which have an `event_charge`, with `running_total` and `marginal_revenue`, by line and time.

    usage: the due terms of usage, row n the terms of events with `term_no` n, with all free units the line may use up.
    Usage beyond a hard cap earns nothing. final_values: `line_id, final_value` of lines
    known only at the end (`AT_THE_END`). bonus_balances: BONUS_BALANCES; what they cover earns nothing. A marginal revenue is null where the terms lack the line's price, or where it is too
    much for an amount; Rate holds such a line.
    """
    lines = usage.select("line_id", *_COUNTING, hard_cap=HARD_CAP).join(
        final_values, on="line_id", how="left", maintain_order="left"
    )
    sorted_events = in_order(billable)
    prices = price_columns(prorated(usage)).sort("term_no")
    guarded = may_be_too_much(prices, _most(sorted_events, final_values))
    ordered = looked_up(sorted_events, lines.drop("line_id"), at="term_no")
    payable = _payable(_counted(ordered, usage), guarded=guarded)
    payable = _less_bonus(payable, usage, bonus_balances)
    tiers = [name for name in prices.columns if name.startswith("tier") and name != "tiers"]
    price = charge(nw.col("billable"), nw.col("running_charges"), tier_count(usage), guarded=guarded)
    charged = row_by_row(payable, prices.select(*_PRICING, *tiers), price, at="term_no", name="charged")
    charged = _running(charged, before=nw.col("charged").shift(1))
    before = nw.col("before").fill_null(nw.lit(0).cast(_EXACT))
    return charged.with_columns(marginal_revenue=nw.col("charged") - before)


def _most(events: Events, final_values: pl.DataFrame) -> float:
    """No line can have used more units than this; roughly."""
    size = nw.col("quantity").cast(nw.Float64).abs().sum()
    used, counted = collected(events.select(used=size, counted=nw.len())).row(0)
    return max(used or 0.0, float(counted), largest(final_values["final_value"]))


def _counted(ordered: Events, usage: pl.DataFrame) -> Events:
    """With `running_total` and `counted`, what of it lies within a hard cap; an event's own charge is that of its part within."""
    aggregations, total, cap = set(usage["aggregation"]), nw.col("running_total"), nw.col("hard_cap")
    ordered = _with_running_total(ordered, aggregations)
    hard = usage.filter(HARD_CAP.is_not_null())
    if hard.is_empty():
        return ordered.with_columns(counted=total)
    ordered = ordered.with_columns(counted=nw.when(total > cap).then(cap).otherwise(total))
    if hard.filter(pl.any_horizontal(pl.col(_OWN).is_not_null())).is_empty():
        return ordered
    before, quantity = total - nw.col("quantity"), nw.col("quantity")
    within = nw.col("counted") - nw.when(before > cap).then(cap).otherwise(before)
    whole = nw.when(total > cap).then(nw.lit(0).cast(_QUANTITY)).otherwise(quantity)
    part = nw.when(nw.col("aggregation") == "SUM").then(within).otherwise(whole)
    parted = ordered.with_columns(part=nw.when(~cap.is_null()).then(part).otherwise(quantity))
    prices = usage.select("model", "rate", *_OWN)
    charged = row_by_row(parted, prices, event_charge(nw.col("part")), at="term_no", name="part_charge")
    none = (nw.col("part") == 0) & (quantity != 0)
    mine = nw.when(none).then(nw.lit(0).cast(_EXACT)).otherwise(nw.col("part_charge"))
    cut = ~nw.col("event_charge").is_null() & (nw.col("part") != quantity)
    return charged.with_columns(event_charge=nw.when(cut).then(mine).otherwise(nw.col("event_charge")))


def _payable(counted: Events, *, guarded: bool) -> Events:
    """With `running_charges` and `billable`: what of the usage that counts is to be paid for."""
    own = nw.col("event_charge")
    if guarded:
        counted = _running(counted, rough=own.cast(nw.Float64).abs().cum_sum())
        counted = counted.with_columns(fitting=nw.when(nw.col("rough") < ROUGHLY_ALL).then(own))
        own = nw.col("fitting")
    zero = nw.lit(0).cast(_QUANTITY)
    over = nw.col("counted") - nw.col("included_free")
    left = nw.when(over > zero).then(over).otherwise(nw.when(over.is_null()).then(over).otherwise(zero))
    return _running(counted, running_charges=own.cum_sum()).with_columns(billable=left)


def _less_bonus(payable: Events, usage: pl.DataFrame, bonus_balances: pl.DataFrame | None) -> Events:
    """With `billable` less what bonus units have covered by then of the event's line."""
    lines = concerned(usage, bonus_balances)
    if lines.is_empty() or bonus_balances is None:
        return payable
    frame = collected(payable)
    own = frame.lazy().join(lines.lazy().select("term_no", "line_id"), on="term_no", how="inner")
    events = own.select("line_id", "occurred_at", "key_hash", "raw_seq", left="billable").collect()
    found = cover(events, lines, bonus_balances).events.select("raw_seq", "covered")
    joined = frame.join(found, on="raw_seq", how="left", maintain_order="left")
    covered = pl.col("covered").fill_null(0).cum_sum().over("term_no", order_by="position")
    less = joined.with_columns(billable=(pl.col("billable") - covered).cast(QUANTITY)).drop("covered")
    return beside(payable, less)


def in_order(events: Events) -> Events:
    """The events by line (`term_no`), time and key hash, with their `position` in that order."""
    if not events.implementation.is_polars():
        return events.with_row_index("position", order_by=list(_ORDER))
    frame = collected(events)
    places = frame.select(pl.arg_sort_by(*_sort_keys(frame))).to_series()
    sorted_frame = frame.rechunk()[places].with_row_index("position")
    ordered: Events = nw.from_native(sorted_frame.with_columns(pl.col("term_no").set_sorted()).lazy())
    return ordered


def _sort_keys(frame: pl.DataFrame) -> list[pl.Expr]:
    """What puts the events in order. Line and time as one number sort in half the time, where one number holds both."""
    time = pl.col("occurred_at").to_physical()
    line, hash_, seq = pl.col("term_no").cast(pl.Int64), pl.col("key_hash"), pl.col("raw_seq")
    first, last, lines = frame.select(time.min().alias("first"), time.max().alias("last"), line.max()).row(0)
    if frame.is_empty() or (last - first + 1) * (lines + 1) >= 2**63:
        return [line, time, hash_, seq]
    return [line * (last - first + 1) + (time - first), hash_, seq]


def _running(events: Events, **values: nw.Expr) -> Events:
    """The events, which are in order, with values that run over those of a line."""
    return running(events, values, over="term_no", order_by="position")


def _with_running_total(ordered: Events, aggregations: set[str]) -> Events:
    """With `running_total`, the unit's value after each event; only the aggregations in use are computed."""
    quantity = nw.col("quantity")
    ways = {
        "COUNT": quantity.cum_count(),
        "SUM": quantity.cum_sum(),
        "MAX": quantity.cum_max(),
        "MIN": quantity.cum_min(),
        "UNIQUE": nw.col("first_seen").cast(nw.Int64).cum_sum(),
    }
    used = {kind: way for kind, way in ways.items() if kind in aggregations}
    if "UNIQUE" in used:
        ordered = _with_first_seen(ordered)
    ordered = _running(ordered, **{f"running_{kind}": way for kind, way in used.items()})
    totals = {kind: nw.col(f"running_{kind}").cast(_QUANTITY) for kind in used} | {"LATEST": quantity}
    last = nw.col("position") == nw.col("position").max().over("term_no")
    total = nw.when(last & nw.col("aggregation").is_in(AT_THE_END)).then(nw.col("final_value"))
    result = total.otherwise(nw.lit(None, dtype=_QUANTITY))
    for kind in sorted(aggregations & set(totals)):
        result = nw.when(nw.col("aggregation") == kind).then(totals[kind]).otherwise(result)
    return ordered.with_columns(running_total=result).drop(f"running_{kind}" for kind in used)


def _with_first_seen(ordered: Events) -> Events:
    """With `first_seen`: whether the event is the first of its line with its distinct value."""
    value = nw.col("distinct_value")
    if not ordered.implementation.is_polars():
        new_value = value.is_first_distinct().over("term_no", order_by="position")
        return ordered.with_columns(first_seen=new_value & ~value.is_null())
    frame = collected(ordered)
    valued = frame.filter(pl.col("distinct_value").is_not_null()).select(
        "position", "term_no", "distinct_value"
    )
    places = valued.filter(pl.struct("term_no", "distinct_value").is_first_distinct())["position"]
    first_seen = pl.repeat(False, frame.height, eager=True).scatter(places, True)
    found: Events = nw.from_native(frame.with_columns(first_seen=first_seen).lazy())
    return found
