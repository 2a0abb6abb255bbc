"""Stage 3: the period's events reduced to one value, as each unit says."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from tests.transforms.billing_rows import MID_NOVEMBER, NOVEMBER, d, term, terms
from tests.transforms.event_rows import event, metered_month, validated
from transforms.frames import USAGE_AGGREGATES
from transforms.s01_quota_check import quota_check
from transforms.s03_aggregate import aggregate


def aggregated(frozen: pl.DataFrame, *events: dict[str, Any]) -> pl.DataFrame:
    metered = metered_month(validated(*events), frozen)
    found = aggregate(
        metered_events=metered.lazy(),
        quota_checks=quota_check(metered_events=metered.lazy(), terms=frozen),
        terms=frozen,
    )
    for rule in USAGE_AGGREGATES.rules:
        assert found.filter(~rule.holds).is_empty(), rule.name
    return found


def value(aggregation: str, *quantities: str | int, **given: Any) -> Decimal | None:
    """The value of events a minute apart."""
    line = term(aggregation=aggregation, **({"event_field": "user"} if aggregation == "UNIQUE" else {}))
    events = [
        event(line, quantity, MID_NOVEMBER + timedelta(minutes=place), **given)
        for place, quantity in enumerate(quantities)
    ]
    found: Decimal | None = aggregated(terms(line), *events)["value"][0]
    return found


@pytest.mark.parametrize(
    ("aggregation", "quantities", "expected"),
    [
        ("COUNT", (5, 0, 7), "3"),
        ("SUM", ("0.1", "0.2", "99999999999999999.000000001"), "99999999999999999.300000001"),
        ("MAX", (1, "2.5", 2), "2.5"),
        ("MIN", (3, "2.5", 4), "2.5"),
        ("LATEST", (3, 9, 4), "4"),
        ("AVG", (1, 1, 2), "1.333333333"),
        ("AVG", ("0.000000001", 0), "0"),
        ("AVG", ("0.000000003", 0), "0.000000002"),
        (
            "AVG",
            ("99999999999999999", "99999999999999999", "99999999999999998"),
            "99999999999999998.666666667",
        ),
        ("PERCENTILE_95", range(1, 101), "95"),
        ("PERCENTILE_99", range(1, 101), "99"),
        ("PERCENTILE_95", range(1, 22), "20"),
        ("PERCENTILE_95", (7,), "7"),
        ("PERCENTILE_99", (1, 2), "2"),
    ],
)
def test_each_aggregation_reduces_as_defined(aggregation: str, quantities: Any, expected: str) -> None:
    assert value(aggregation, *quantities) == d(expected)


def test_unique_counts_values_once_and_events_without_one_not_at_all() -> None:
    line = term("users", aggregation="UNIQUE", event_field="user")
    texts = ['{"user": "ann"}', '{"user": "bo"}', '{"user": "ann"}', "{}", '{"user": null}']
    found = aggregated(terms(line), *(event(line, payload=text) for text in texts)).row(0, named=True)
    assert (found["value"], found["events"]) == (d(2), 5)


def test_unique_over_events_that_all_lack_the_field_is_nought() -> None:
    assert value("UNIQUE", 1, 1, payload="{}") == 0


def test_corrections_take_back() -> None:
    assert value("SUM", 10, -4) == 6
    assert value("MIN", 10, -4) == -4


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [
        ("COUNT", 0),
        ("SUM", 0),
        ("UNIQUE", 0),
        *((a, None) for a in ("MAX", "MIN", "AVG", "LATEST", "PERCENTILE_95")),
    ],
)
def test_without_events_counts_are_nought_and_the_rest_has_no_value(
    aggregation: str, expected: int | None
) -> None:
    assert value(aggregation) == expected


def test_a_row_knows_how_many_events_and_late_ones_are_behind_it_and_when() -> None:
    line = term()
    late = event(line, at=NOVEMBER, late=True)
    found = aggregated(terms(line), late, event(line), event(line)).row(0, named=True)
    assert (found["events"], found["late_events"]) == (3, 1)
    assert (found["first_at"], found["last_at"]) == (NOVEMBER, MID_NOVEMBER)


def test_events_own_charges_are_summed_where_the_plan_has_them() -> None:
    own = term("payments", "PERCENTAGE", rate=d("0.1"), per_event_min=d(1))
    plain = term("exports", "PERCENTAGE", rate=d("0.1"))
    found = aggregated(terms(own, plain), *(event(line, q) for line in (own, plain) for q in (5, 30)))
    assert dict(found.select("unit", "event_charges").iter_rows()) == {"payments": d(4), "exports": None}


def test_usage_that_nothing_prices_has_a_row_of_its_own_per_customer_unit_and_reason() -> None:
    line = term()
    gpu = line | {"unit": "gpu_hours"}
    found = aggregated(
        terms(line),
        event(gpu, 2),
        event(gpu, 3),
        event(gpu | {"customer_id": "stranger"}, 4),
        event(line | {"unit": "system.x"}),
    ).filter(pl.col("disposition") != "BILLABLE")
    assert found.select("customer_id", "unit", "disposition", "events", "value").rows() == [
        ("c1", "gpu_hours", "NO_PRICE", 2, d(5)),
        ("stranger", "gpu_hours", "NO_SUBSCRIPTION", 1, d(4)),
    ]
    assert found["line_id"].n_unique() == 2


def test_lines_of_another_month_are_not_aggregated() -> None:
    assert aggregated(terms(term(), term("exports", due=False)))["unit"].to_list() == ["api_calls"]


def test_filtered_events_do_not_count() -> None:
    line = term(filters='[{"field": "ok", "operator": "EQUALS", "value": "true"}]')
    events = [event(line, 5, payload=f'{{"ok": {ok}}}') for ok in ("true", "false")]
    found = aggregated(terms(line), *events).row(0, named=True)
    assert (found["events"], found["value"]) == (1, d(5))
