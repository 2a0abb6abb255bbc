"""From validated to metered events. Put here: the order of the steps. Keep out: the steps themselves."""

from __future__ import annotations

import narwhals as nw
import polars as pl

from transforms.engine import Events, Parts, ahead, collected, looked_up, once
from transforms.enrich import AGREED, USED, enrich, numbered, window
from transforms.estimate_revenue import AT_THE_END, estimate_revenue, event_charges
from transforms.frames import METERED_EVENTS, QUANTITY
from transforms.free_units import shared_out
from transforms.in_force import in_force
from transforms.s03_aggregate import reduce_usage
from transforms.shared_caps import sharing_a_cap, with_shared_caps
from transforms.terms import HARD_CAP, with_carried

MOST = 2_000_000
"""Events metered at once: about 2 GiB of memory."""


def meter(
    *,
    validated_events: pl.LazyFrame,
    terms: pl.DataFrame,
    month: str,
    rollovers: pl.DataFrame | None = None,
    bonus_balances: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """METERED_EVENTS of a month (YYYY-MM) under these BILLING_TERMS, in order of line and time. Events that were voided or amended
    since do not count, whenever that was: `validated_events` must hold the acts upon them, too.

    rollovers: ROLLOVERS of the month, whose units are free too. bonus_balances: BONUS_BALANCES, whose units cover usage. Raises `UniqueWithoutField`, `UnknownOperator`, `BadTiers`.
    """
    usage = numbered(terms)
    due = with_carried(usage.filter("due"), rollovers)
    enriched = once(enrich(nw.from_native(in_force(validated_events)), terms=terms, month=month))
    billed = nw.col("disposition") == "BILLABLE"
    # What their terms say is looked up once they are in order, so that sorting moves as little as can be.
    billable = event_charges(enriched.filter(billed).drop(*USED, "disposition"), usage=due)
    due = _with_shared_caps(due, billable)
    estimated = estimate_revenue(
        billable,
        usage=_with_shared(due, billable),
        final_values=_final_values(billable, due),
        bonus_balances=bonus_balances,
    )
    earning = looked_up(estimated, usage.select(*USED, *AGREED), at="term_no").with_columns(
        disposition=nw.lit("BILLABLE")
    )
    others = looked_up(enriched.filter(~billed).sort(*_OTHERS), usage.select(AGREED), at="term_no")
    halves = [collected(earning), collected(others).with_columns(pl.lit(None).alias(name) for name in _MONEY)]
    return pl.concat([METERED_EVENTS.conform(half.with_columns(month=pl.lit(month))) for half in halves])


def meter_by_customers(
    *,
    validated_events: pl.LazyFrame,
    terms: pl.DataFrame,
    month: str,
    rollovers: pl.DataFrame | None = None,
    bonus_balances: pl.DataFrame | None = None,
    most: int = MOST,
) -> Parts:
    """`meter`, some customers at a time: parts of at most so many events and one customer's more. The same rows.

    Cost: `meter`'s, and per part one more look at which events are whose.
    """
    reach = window(month, terms)
    events = validated_events.filter(pl.col("occurred_month").is_in(reach.months()))
    sizes = events.group_by(_WHO).agg(events=pl.len()).collect(engine="streaming").sort(_WHO)
    shares = sizes.with_columns(share=(pl.col("events").cum_sum() - 1) // most)
    if shares["share"].n_unique() <= 1:
        concerned = [(validated_events, terms)]
    else:
        parts = shares.select(*_WHO, "share").partition_by("share", include_key=False)
        concerned = [(_only(validated_events, part), _of(terms, part)) for part in parts]
        # Terms without events are looked at, too: whether they make sense does not hang on usage.
        idle = terms.join(shares, on=_WHO, how="anti", maintain_order="left")
        concerned[0] = (concerned[0][0], pl.concat([concerned[0][1], idle]))
    taken_over = {"rollovers": rollovers, "bonus_balances": bonus_balances}
    return Parts(
        ahead(
            meter(validated_events=events, terms=own, month=month, **taken_over) for events, own in concerned
        )
    )


def _of(terms: pl.DataFrame, who: pl.DataFrame) -> pl.DataFrame:
    return terms.join(who, on=_WHO, how="semi", maintain_order="left")


def _only(events: pl.LazyFrame, who: pl.DataFrame) -> pl.LazyFrame:
    """The events of these customers, who follow each other in order. From where to where is a condition that files are read by."""
    ends = [pl.col(name).is_between(pl.lit(who[name].min()), pl.lit(who[name].max())) for name in _WHO]
    return events.filter(*ends).join(who.lazy(), on=_WHO, how="semi")


_WHO = ("tenant_id", "customer_id")
_MONEY = ("event_charge", "running_total", "marginal_revenue")
_OTHERS = (*USED, "occurred_at", "key_hash", "raw_seq")


def _final_values(billable: Events, due: pl.DataFrame) -> pl.DataFrame:
    """`line_id, final_value` of the lines whose value is known only at the end."""
    lines = due.filter(pl.col("aggregation").is_in(AT_THE_END))
    return _values(billable, due, lines).rename({"value": "final_value"})


def _with_shared_caps(due: pl.DataFrame, billable: Events) -> pl.DataFrame:
    """The terms with what each of a unit's prices by dimension uses up of the unit's hard cap."""
    lines = sharing_a_cap(due)
    if lines.is_empty():
        return due
    concerned = billable.filter(nw.col("term_no").is_in(lines["term_no"].to_list()))
    events = collected(looked_up(concerned, due.select("line_id"), at="term_no"))
    return with_shared_caps(due, events.lazy())


def _with_shared(due: pl.DataFrame, billable: Events) -> pl.DataFrame:
    """The terms with the free units that each of a unit's prices by dimension will have used up by the end."""
    sharing = due.filter(pl.col("free_pool").is_not_null())
    if not sharing["included_free"].sum():
        return due
    values = _values(billable, due, sharing)
    used = pl.min_horizontal(
        pl.max_horizontal(pl.col("value").fill_null(0), pl.lit(0, dtype=QUANTITY)), HARD_CAP
    )
    known = sharing.join(values, on="line_id", how="left").with_columns(used=used, free="included_free")
    free = shared_out(known).select("line_id", "free")
    joined = due.join(free, on="line_id", how="left", maintain_order="left")
    return joined.with_columns(included_free=pl.coalesce("free", "included_free")).drop("free")


def _values(billable: Events, due: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    """`line_id, value` of these of the due lines."""
    if lines.is_empty():
        return pl.DataFrame(schema={"line_id": pl.String, "value": QUANTITY})
    concerned = billable.filter(nw.col("term_no").is_in(lines["term_no"].to_list()))
    return reduce_usage(looked_up(concerned, due.select("line_id"), at="term_no"), lines).select(
        "line_id", "value"
    )
