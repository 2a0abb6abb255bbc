"""However events arrive and whatever the plan, each is counted once and what events earn is what the line costs."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.properties.test_pricing import fees, plans
from tests.transforms.aggregation_reference import REFERENCE, Usage
from tests.transforms.billing_rows import MID_NOVEMBER, terms
from tests.transforms.event_rows import RECEIVED, event, gated, metered_month, raw_event, raws, validated
from transforms.pipeline import run

few = settings(max_examples=25, deadline=None)
quantities = st.decimals("-200", "100000", places=9) | st.integers(0, 20).map(Decimal)

arrivals = st.builds(
    lambda key, *others, **given: raw_event(key, *others, key_hash=ord(key) % 2, **given),
    st.sampled_from("abcdef"),
    st.sampled_from([1, 2, -1]),
    tenant_id=st.sampled_from(["acme", "other"]),
    door=st.sampled_from(["ACCEPTED", "DUPLICATE", "CONFLICT"]),
    occurred_at=st.sampled_from([RECEIVED, RECEIVED - timedelta(days=91)]),
)
"""Six keys with two hashes, so that collisions are the rule."""


def in_batches(raw: pl.DataFrame, ends: list[int]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(kept, quarantined) of raw events gated batch after batch, each knowing what the ones before have kept."""
    kept, quarantined = gated(raw.head(0))
    bounds = sorted({0, raw.height, *(end % (raw.height + 1) for end in ends)})
    for start, end in pairwise(bounds):
        more, refused = gated(raw[start:end], kept)
        kept, quarantined = kept.vstack(more), quarantined.vstack(refused)
    return kept, quarantined


@few
@given(st.lists(arrivals, max_size=25), st.lists(st.integers(0, 100), max_size=6))
def test_any_batches_keep_the_same_events_as_one(rows: list[dict[str, Any]], ends: list[int]) -> None:
    raw = raws(*rows)
    (kept, refused), (at_once, refused_at_once) = in_batches(raw, ends), gated(raw)
    assert kept.sort("raw_seq").equals(at_once.sort("raw_seq"))
    assert refused.sort("raw_seq").equals(refused_at_once.sort("raw_seq"))


@few
@given(st.lists(arrivals, max_size=25))
def test_the_first_good_event_of_each_key_is_kept_and_every_event_is_somewhere(
    rows: list[dict[str, Any]],
) -> None:
    first: dict[tuple[str, str], int] = {}
    for seq, row in enumerate(rows, start=1):
        if row["quantity"] >= 0 and row["occurred_at"] == RECEIVED:
            first.setdefault((row["tenant_id"], row["idempotency_key"]), seq)
    kept, quarantined = gated(raws(*rows))
    assert sorted(kept["raw_seq"]) == sorted(first.values())
    assert sorted([*kept["raw_seq"], *quarantined["raw_seq"]]) == list(range(1, len(rows) + 1))


@st.composite
def usages(draw: st.DrawFn) -> list[Usage]:
    """Events in no particular order, some at the same moment."""
    keys = draw(st.lists(st.integers(-(2**63), 2**63 - 1), unique=True, min_size=1, max_size=12))
    return [
        Usage(
            draw(quantities),
            MID_NOVEMBER + timedelta(seconds=draw(st.integers(0, 5))),
            key,
            draw(st.sampled_from([*"xyz", None])),
        )
        for key in keys
    ]


lines = st.builds(
    lambda plan, aggregation, free, own, part, cap: (
        plan
        | {"aggregation": aggregation, "event_field": "user", "included_free": free, "cap": cap}
        | (own if plan["model"] == "PERCENTAGE" else {})
        | ({"active_start": MID_NOVEMBER} if part and plan["model"] == "FLAT_RATE" else {})
    ),
    plans,
    st.sampled_from(sorted(REFERENCE)),
    st.decimals("0", "500", places=9),
    st.fixed_dictionaries({"per_event_fee": fees, "per_event_min": fees, "per_event_max": fees})
    | st.just({}),
    st.booleans(),
    st.none() | st.decimals("0", "100000", places=9),
)


def events_of(line: dict[str, Any], usage: list[Usage]) -> list[dict[str, Any]]:
    return [
        event(line, each.quantity, each.at, key_hash=each.key_hash, payload="{}" if each.value is None else f'{{"user": "{each.value}"}}')  # type: ignore[arg-type]
        for each in usage
    ]  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(lines, usages()), min_size=1, max_size=4))
def test_what_events_earn_is_what_their_line_costs(rows: list[tuple[dict[str, Any], list[Usage]]]) -> None:
    numbered = [
        (line | {"unit": f"u{n}", "line_id": f"ln_{n}"}, usage) for n, (line, usage) in enumerate(rows)
    ]
    frozen = terms(*(line for line, _ in numbered))
    metered = metered_month(
        validated(*(e for line, usage in numbered for e in events_of(line, usage))), frozen
    )
    made = run(metered_events=metered.lazy(), terms=frozen)
    earned = dict(metered.group_by("line_id").agg(pl.col("marginal_revenue").sum()).iter_rows())
    payable = made["rated_lines"].filter(pl.col("problem").is_null())
    assert dict(payable.select("line_id", "unrounded").iter_rows()) == {
        line_id: earned[line_id] for line_id in payable["line_id"]
    }
    values = dict(made["usage_aggregates"].select("line_id", "value").iter_rows())
    assert values == {line["line_id"]: REFERENCE[line["aggregation"]](usage) for line, usage in numbered}


@few
@given(lines, usages())
def test_the_last_running_total_is_the_lines_value(line: dict[str, Any], usage: list[Usage]) -> None:
    metered = metered_month(validated(*events_of(line, usage)), terms(line))
    assert metered["running_total"][-1] == REFERENCE[line["aggregation"]](usage)


@few
@given(lines, usages(), st.randoms())
def test_however_events_come_they_make_the_same_table(
    line: dict[str, Any], usage: list[Usage], random: Any
) -> None:
    came = validated(*events_of(line, usage))
    order = list(range(came.height))
    random.shuffle(order)
    assert metered_month(came[order], terms(line)).equals(metered_month(came, terms(line)))
