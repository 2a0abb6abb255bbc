"""Events meet contracts: which line an event belongs to, and what becomes of those that belong to none."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import narwhals as nw
import polars as pl
import pytest

from tests.transforms.billing_rows import DECEMBER, MID_NOVEMBER, NOVEMBER, term, terms
from tests.transforms.event_rows import event, validated
from transforms.engine import collected, looked_up
from transforms.enrich import AGREED, UniqueWithoutField, enrich, numbered, window

MICROSECOND = timedelta(microseconds=1)
CALLS = term()
MID_OCTOBER, MID_DECEMBER = datetime(2023, 10, 16, tzinfo=UTC), datetime(2023, 12, 16, tzinfo=UTC)


def anchored(start: datetime, end: datetime, *, due: bool, **given: Any) -> dict[str, Any]:
    """CALLS in a period that does not follow the calendar."""
    span = {"period_start": start, "period_end": end, "active_start": start, "active_end": end}
    return term(**(span | {"due": due, "line_id": f"ln_{start:%m%d}"} | given))


def enriched(frozen: pl.DataFrame, *events: dict[str, Any], month: str = "2023-11") -> pl.DataFrame:
    rows = validated(*events).lazy()
    found = enrich(nw.from_native(rows), terms=frozen, month=month)
    return collected(looked_up(found, numbered(frozen).select(AGREED), at="term_no")).sort("raw_seq")


def outcomes(frozen: pl.DataFrame, *events: dict[str, Any]) -> list[tuple[int, str | None, str]]:
    return enriched(frozen, *events).select("raw_seq", "line_id", "disposition").rows()


def test_an_event_gets_the_line_the_plan_and_the_period_of_its_term() -> None:
    found = enriched(terms(CALLS), event(CALLS)).row(0, named=True)
    assert {name: found[name] for name in ("subscription_id", "line_id", "plan", "plan_version", "period_start")} == {
        "subscription_id": "sub_c1", "line_id": "ln_c1_api_calls", "plan": "pro", "plan_version": 1, "period_start": NOVEMBER,
    }  # fmt: skip
    assert (found["disposition"], found["distinct_value"]) == ("BILLABLE", None)


def test_a_period_holds_its_start_and_not_its_end() -> None:
    at = [NOVEMBER - MICROSECOND, NOVEMBER, DECEMBER - MICROSECOND, DECEMBER]
    assert (
        enriched(terms(CALLS), *(event(CALLS, at=moment) for moment in at))["occurred_at"].to_list()
        == at[1:3]
    )


def test_a_subscription_takes_events_of_the_time_it_was_live_and_leaves_the_rest_visible() -> None:
    half = terms(term(active_start=MID_NOVEMBER))
    found = outcomes(half, event(CALLS, at=MID_NOVEMBER - MICROSECOND), event(CALLS, at=MID_NOVEMBER))
    assert found == [(1, None, "NO_SUBSCRIPTION"), (2, "ln_c1_api_calls", "BILLABLE")]


def test_an_anchored_period_is_billed_with_the_month_it_ends_in() -> None:
    frozen = terms(
        anchored(MID_OCTOBER, MID_NOVEMBER, due=True), anchored(MID_NOVEMBER, MID_DECEMBER, due=False)
    )
    at = [
        MID_OCTOBER - MICROSECOND,
        MID_OCTOBER,
        NOVEMBER,
        MID_NOVEMBER - MICROSECOND,
        MID_NOVEMBER,
        DECEMBER,
    ]
    found = enriched(frozen, *(event(CALLS, at=moment) for moment in at))
    assert found["occurred_at"].to_list() == at[1:4]
    assert set(found["line_id"]) == {"ln_1016"}


def test_every_event_of_an_anchored_subscription_is_billed_in_exactly_one_month() -> None:
    october = anchored(MID_OCTOBER, MID_NOVEMBER, due=True)
    november = anchored(MID_NOVEMBER, MID_DECEMBER, due=False)
    in_november = terms(october, november)
    in_december = terms(november | {"due": True, "month": "2023-12"})
    events = [event(CALLS, at=MID_OCTOBER + timedelta(days=day)) for day in range(60)]
    seen = [
        *enriched(in_november, *events)["raw_seq"],
        *enriched(in_december, *events, month="2023-12")["raw_seq"],
    ]
    assert sorted(seen) == list(range(1, 61))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"unit": "gpu_hours"}, "NO_PRICE"),
        ({"customer_id": "stranger"}, "NO_SUBSCRIPTION"),
        ({"tenant_id": "other"}, "NO_SUBSCRIPTION"),
        ({"unit": "system.heartbeat"}, "SYSTEM"),
        ({"unit": "system.heartbeat", "customer_id": "stranger"}, "SYSTEM"),
    ],
)
def test_usage_that_no_line_takes_says_why(given: dict[str, Any], expected: str) -> None:
    found = enriched(terms(CALLS), event(CALLS) | given).row(0, named=True)
    assert (found["disposition"], found["line_id"], found["subscription_id"]) == (expected, None, None)


def test_a_base_fee_alone_is_a_subscription_without_a_price_for_the_unit() -> None:
    assert outcomes(terms(term(None)), event(CALLS)) == [(1, None, "NO_PRICE")]


def test_unpriced_usage_is_shown_in_the_calendar_month_it_happened_in_and_in_no_other() -> None:
    long = terms(anchored(MID_OCTOBER, MID_NOVEMBER, due=True))
    stray = event(CALLS | {"unit": "gpu_hours"}, at=NOVEMBER - MICROSECOND)
    assert outcomes(long, stray, stray | {"occurred_at": NOVEMBER}) == [(2, None, "NO_PRICE")]


def test_without_terms_all_usage_stays_visible() -> None:
    assert outcomes(terms(), event(CALLS)) == [(1, None, "NO_SUBSCRIPTION")]


def test_a_month_without_events_is_empty() -> None:
    assert enriched(terms(CALLS)).is_empty()


def test_conditions_leave_out_events_of_their_own_unit_only() -> None:
    ok = json.dumps([{"field": "status", "operator": "LESS_THAN", "value": "400"}])
    other = term("exports")
    found = outcomes(
        terms(term(filters=ok), other),
        *(event(line, payload=f'{{"status": {status}}}') for line in (CALLS, other) for status in (200, 500)),
    )
    assert [disposition for *_, disposition in found] == ["BILLABLE", "FILTERED", "BILLABLE", "BILLABLE"]


def test_unique_carries_the_value_it_counts_and_other_aggregations_do_not_look() -> None:
    unique = term("users", aggregation="UNIQUE", event_field="user")
    plain = term("bytes", event_field="user")
    found = enriched(
        terms(unique, plain),
        *(
            event(line, payload=text)
            for line in (unique, plain)
            for text in ('{"user": 7}', '{"user": "ann"}', "{}")
        ),
    )
    assert found["distinct_value"].to_list() == ["7", "ann", None, None, None, None]


def test_unique_without_a_field_is_refused_by_name() -> None:
    with pytest.raises(UniqueWithoutField, match="event_field: is missing where unit users of plan pro v1"):
        enriched(terms(term("users", aggregation="UNIQUE")))


def test_the_window_reaches_over_the_month_and_every_period_due_with_it() -> None:
    reach = window(
        "2023-12",
        terms(anchored(MID_NOVEMBER, MID_DECEMBER, due=True), anchored(MID_OCTOBER, NOVEMBER, due=False)),
    )
    january = datetime(2024, 1, 1, tzinfo=UTC)
    assert (reach.start, reach.end) == (MID_NOVEMBER, january)
    assert (reach.month_start, reach.month_end) == (DECEMBER, january)
    assert reach.months() == ["2023-11", "2023-12", "2024-01"]
