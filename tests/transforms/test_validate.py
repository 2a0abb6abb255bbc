"""The gates on frames: what passes, what does not, and that equality passes at every bound."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import narwhals as nw
import polars as pl
import pytest

from tests.transforms.event_rows import RECEIVED, raw_event, raws
from transforms.engine import collected
from transforms.validate import validate

MICROSECOND = timedelta(microseconds=1)
AHEAD, AGE, LATE = timedelta(minutes=5), timedelta(days=90), timedelta(hours=24)


def judged(*rows: dict[str, Any]) -> pl.DataFrame:
    return collected(validate(nw.from_native(raws(*rows).lazy())))


def code(**given: Any) -> str | None:
    found: str | None = judged(raw_event(**given))["code"][0]
    return found


@pytest.mark.parametrize(
    ("occurred_at", "expected"),
    [
        (RECEIVED, None),
        (RECEIVED + AHEAD, None),
        (RECEIVED + AHEAD + MICROSECOND, "FUTURE_TIMESTAMP"),
        (RECEIVED - AGE, None),
        (RECEIVED - AGE - MICROSECOND, "TOO_OLD"),
    ],
)
def test_time_is_judged_by_the_time_of_receipt_and_equality_passes(
    occurred_at: Any, expected: str | None
) -> None:
    assert code(occurred_at=occurred_at) == expected


@pytest.mark.parametrize(("age", "late"), [(LATE, False), (LATE + MICROSECOND, True), (-AHEAD, False)])
def test_an_event_is_late_only_after_more_than_24_hours(age: timedelta, late: bool) -> None:
    assert judged(raw_event(occurred_at=RECEIVED - age))["late"].to_list() == [late]


def test_an_operators_backfill_may_be_old_but_not_from_the_future() -> None:
    assert code(occurred_at=RECEIVED - 10 * AGE, backfill="migration") is None
    assert code(occurred_at=RECEIVED + 2 * AHEAD, backfill="migration") == "FUTURE_TIMESTAMP"


@pytest.mark.parametrize(
    ("quantity", "correction", "expected"),
    [(0, False, None), ("-0.000000001", False, "NEGATIVE_QUANTITY"), (-5, True, None), (5, True, None)],
)
def test_only_corrections_are_negative(quantity: str | int, correction: bool, expected: str | None) -> None:
    assert code(quantity=quantity, correction=correction) == expected


@pytest.mark.parametrize(
    "missing",
    ["customer_id", "unit", "quantity", "occurred_at", "idempotency_key", "key_hash", "payload_hash"],
)
def test_an_event_without_a_required_field_is_refused_and_told_which(missing: str) -> None:
    found = judged(raw_event(**{missing: None})).row(0, named=True)
    assert (found["code"], found["detail"]) == ("SCHEMA_INVALID", f"{missing}: is missing")


def test_what_the_door_refused_stays_refused_for_the_doors_reason() -> None:
    refused = raw_event(door="REJECTED", reject_code="UNKNOWN_METRIC", reject_detail="metricName: …")
    assert judged(refused).select("code", "detail").row(0) == ("UNKNOWN_METRIC", "metricName: …")


@pytest.mark.parametrize("door", ["ACCEPTED", "DUPLICATE", "CONFLICT"])
def test_what_the_door_took_for_a_repeat_is_judged_anew(door: str) -> None:
    assert code(door=door) is None
    assert code(door=door, occurred_at=RECEIVED + 2 * AHEAD) == "FUTURE_TIMESTAMP"


def test_a_faulty_door_cannot_let_a_bad_event_through_and_the_reason_names_the_field() -> None:
    found = judged(
        raw_event(quantity=-1),
        raw_event(occurred_at=RECEIVED + 2 * AHEAD),
        raw_event(occurred_at=RECEIVED - 2 * AGE),
    )
    assert [detail.split(":")[0] for detail in found["detail"]] == ["quantity", "occurred_at", "occurred_at"]
