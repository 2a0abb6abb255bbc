"""Events meet contracts. Put here: which subscription, plan and line an event belongs to, and whether it counts.
Keep out: totals and money (estimate_revenue.py).

Cost: one scan of the month's events, one hash join on (tenant, customer, unit), one anti-join on an integer. Events carry
the number of their term; what the term says is looked up last, when nothing has to be moved any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import narwhals as nw
import polars as pl

from domain.errors import PermanentFailure
from transforms.conditions import counts, distinct_values
from transforms.engine import Events, beside, collected, once, read

_WHO = ("tenant_id", "customer_id")
USED = (*_WHO, "unit")
"""Who used what: columns of events and of terms."""
AGREED = ("subscription_id", "line_id", "plan", "plan_version", "period_start")
"""What a term adds to its events."""
_EVENT = (
    *USED, "raw_seq", "key_hash", "idempotency_key", "occurred_at", "quantity", "late", "correction",
)  # fmt: skip
_OUT = (*_EVENT, "term_no", "disposition", "distinct_value")
_TERM_NO = nw.UInt32
_LIVE = (nw.col("occurred_at") >= nw.col("active_start")) & (nw.col("occurred_at") < nw.col("active_end"))


class UniqueWithoutField(PermanentFailure):
    """Terms count distinct values of no field."""

    code = "UNIQUE_WITHOUT_FIELD"

    def __init__(self, offending: pl.DataFrame) -> None:
        first = offending.row(0, named=True)
        super().__init__(
            f"event_field: is missing where unit {first['unit']} of plan {first['plan']} v{first['plan_version']} is "
            f"counted as UNIQUE (tenant {first['tenant_id']}, line {first['line_id']}); name the field whose values count"
        )


@dataclass(frozen=True)
class Window:
    """The instants a month's bill can reach into: the calendar month (UTC) and every period due with it. Half-open."""

    month_start: datetime
    month_end: datetime
    start: datetime
    end: datetime

    def months(self) -> list[str]:
        """The UTC calendar months the window touches, as partitions of validated_events."""
        first = self.start.year * 12 + self.start.month - 1
        last = self.end.year * 12 + self.end.month - 1
        return [f"{n // 12:04d}-{n % 12 + 1:02d}" for n in range(first, last + 1)]


def window(month: str, terms: pl.DataFrame) -> Window:
    """The window of a month (YYYY-MM) under these terms."""
    year, number = int(month[:4]), int(month[5:])
    begin = datetime(year, number, 1, tzinfo=UTC)
    end = datetime(year + number // 12, number % 12 + 1, 1, tzinfo=UTC)
    due = terms.filter(pl.col("due"), pl.col("kind") == "USAGE")
    starts = [begin, *due.select("period_start").min().drop_nulls()["period_start"]]
    ends = [end, *due.select("period_end").max().drop_nulls()["period_end"]]
    return Window(begin, end, min(starts), max(ends))


def numbered(terms: pl.DataFrame) -> pl.DataFrame:
    """The terms of usage, due ones first and by line, so that row n is term number n (`term_no`).

    `distinct_field`: what UNIQUE counts; other aggregations have it sent as the quantity. Raises `UniqueWithoutField`.
    """
    unique = pl.col("aggregation") == "UNIQUE"
    usage = terms.filter(pl.col("kind") == "USAGE").sort(~pl.col("due"), "line_id")
    blind = usage.filter(unique, pl.col("event_field").is_null())
    if not blind.is_empty():
        raise UniqueWithoutField(blind)
    return usage.with_columns(distinct_field=pl.when(unique).then("event_field")).with_row_index("term_no")


def enrich(validated: Events, *, terms: pl.DataFrame, month: str) -> Events:
    """The month's events with `term_no` (see `numbered`), disposition and distinct value.

    Events of a period that is billed with another month are left to that month. Usage that nothing prices stays visible:
    NO_SUBSCRIPTION or NO_PRICE, in the calendar month (UTC) it happened in.
    """
    reach, usage = window(month, terms), numbered(terms)
    looks_inside = not usage.filter(_LOOKS_INSIDE).is_empty()
    reached = validated.filter(
        nw.col("occurred_month").is_in(reach.months()),
        nw.col("occurred_at") >= nw.lit(reach.start),
        nw.col("occurred_at") < nw.lit(reach.end),
    ).select(*_EVENT, *(["payload"] if looks_inside else []))
    inside = read(reached)
    whole_units = usage.filter(pl.col("dimension_value").is_null())
    spans = beside(inside, whole_units.select(*USED, "term_no", "due", "active_start", "active_end"))
    matched = once(
        inside.join(spans, on=list(USED), how="inner").filter(_LIVE).drop("active_start", "active_end")
    )
    unmatched = inside.join(matched.select("raw_seq"), on="raw_seq", how="anti")
    due = matched.filter("due")
    taken = _judged(due, usage) if looks_inside else _all_count(due)
    return nw.concat([taken, _unpriced(unmatched, terms, reach)])


_INSIDE = ("filters", "distinct_field", "dimension_fields")
_LOOKS_INSIDE = pl.any_horizontal(pl.col(name).is_not_null() for name in _INSIDE)


def _all_count(matched: Events) -> Events:
    """The common case: no unit asks what is in the events, so that their payload need not be read."""
    nothing = nw.lit(None, dtype=nw.String)
    return matched.with_columns(disposition=nw.lit("BILLABLE"), distinct_value=nothing).select(*_OUT)


def _judged(matched: Events, usage: pl.DataFrame) -> Events:
    """BILLABLE, or FILTERED where a unit's conditions leave the event out; and what UNIQUE counts."""
    frame = collected(matched)
    passes = pl.repeat(True, frame.height, eager=True)
    distinct = pl.repeat(None, frame.height, dtype=pl.String, eager=True)
    for (filters,), terms in usage.filter(pl.col("filters").is_not_null()).group_by("filters"):
        rows = frame["term_no"].is_in(terms["term_no"].implode()).arg_true()
        passes = passes.scatter(rows, counts(frame["payload"].gather(rows), str(filters)))
    for (field,), terms in usage.filter(pl.col("distinct_field").is_not_null()).group_by("distinct_field"):
        rows = frame["term_no"].is_in(terms["term_no"].implode()).arg_true()
        distinct = distinct.scatter(rows, distinct_values(frame["payload"].gather(rows), str(field)))
    judged = frame.lazy().with_columns(
        term_no=_by_dimension(frame, usage),
        disposition=pl.when(passes).then(pl.lit("BILLABLE")).otherwise(pl.lit("FILTERED")),
        distinct_value=distinct,
    )
    return beside(matched, judged.select(_OUT).collect())


def _by_dimension(frame: pl.DataFrame, usage: pl.DataFrame) -> pl.Series:
    """The number of each event's term: where its unit has prices by dimension, of the one for the event's value, if any.

    Each field is read once, whatever units ask for it; the first field an event has is the one that counts.
    """
    values = usage.filter(pl.col("dimension_value").is_not_null())
    if values.is_empty():
        return frame["term_no"]
    own = usage.select(free_pool="line_id", of="term_no")
    prices = values.join(own, on="free_pool").select("of", value="dimension_value", priced_no="term_no")
    found = pl.repeat(None, frame.height, dtype=pl.String, eager=True)
    for (fields,), terms in usage.filter(
        pl.col("dimension_fields").is_not_null(), pl.col("dimension_value").is_null()
    ).group_by("dimension_fields"):
        rows = frame["term_no"].is_in(terms["term_no"].implode()).arg_true()
        payloads = frame["payload"].gather(rows)
        texts = [distinct_values(payloads, field).alias(field) for field in fields]
        found = found.scatter(rows, pl.select(pl.coalesce(texts)).to_series())
    priced = pl.DataFrame({"of": frame["term_no"], "value": found}).join(
        prices, on=["of", "value"], how="left", maintain_order="left"
    )
    return priced.select(pl.coalesce("priced_no", "of")).to_series()


def _unpriced(unmatched: Events, terms: pl.DataFrame, reach: Window) -> Events:
    """Events of the calendar month that no line takes: SYSTEM, NO_PRICE (a live subscription, another unit) or NO_SUBSCRIPTION."""
    contracts = terms.select(*_WHO, "active_start", "active_end").unique()
    here = unmatched.filter(
        nw.col("occurred_at") >= nw.lit(reach.month_start), nw.col("occurred_at") < nw.lit(reach.month_end)
    )
    covered = (
        here.select(*_WHO, "raw_seq", "occurred_at")
        .join(beside(unmatched, contracts), on=list(_WHO), how="inner")
        .filter(_LIVE)
        .select("raw_seq")
        .unique(["raw_seq"])
        .with_columns(covered=nw.lit(True))
    )
    reason = (
        nw.when(nw.col("unit").str.starts_with("system."))
        .then(nw.lit("SYSTEM"))
        .otherwise(
            nw.when(~nw.col("covered").is_null())
            .then(nw.lit("NO_PRICE"))
            .otherwise(nw.lit("NO_SUBSCRIPTION"))
        )
    )
    nothing = {"term_no": nw.lit(None, dtype=_TERM_NO), "distinct_value": nw.lit(None, dtype=nw.String)}
    return (
        here.join(covered, on="raw_seq", how="left").with_columns(disposition=reason, **nothing).select(*_OUT)
    )
