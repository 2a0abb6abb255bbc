"""Billing periods: anchors, time zones, months."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest

from domain.period import (
    NotAMonth,
    Period,
    Schedule,
    UnknownTimeZone,
    billing_month,
    due_periods,
    local_midnight,
    month_bounds,
    periods_overlapping,
)


def monthly(first: str, anchor: int, zone: str = "UTC", cycle: str = "MONTHLY") -> Schedule:
    return Schedule(date.fromisoformat(first), cycle, anchor, zone)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def starts(schedule: Schedule, count: int) -> list[str]:
    return [schedule.period(index).start.date().isoformat() for index in range(count)]


def test_an_anchor_on_the_31st_does_not_drift() -> None:
    assert starts(monthly("2023-01-31", 31), 5) == [
        "2023-01-31",
        "2023-02-28",
        "2023-03-31",
        "2023-04-30",
        "2023-05-31",
    ]


@pytest.mark.parametrize(("anchor", "february"), [(28, "28"), (29, "29"), (30, "29"), (31, "29")])
def test_a_leap_year_gives_february_its_29th(anchor: int, february: str) -> None:
    assert starts(monthly("2024-01-28", anchor), 2)[1] == f"2024-02-{february}"


def test_a_yearly_anchor_on_29_february_comes_back_in_the_next_leap_year() -> None:
    schedule = monthly("2024-02-29", 29, cycle="ANNUAL")
    assert starts(schedule, 5) == ["2024-02-29", "2025-02-28", "2026-02-28", "2027-02-28", "2028-02-29"]


def test_quarters_start_every_third_month_counted_from_the_first() -> None:
    assert starts(monthly("2023-11-30", 30, cycle="QUARTERLY"), 3) == [
        "2023-11-30",
        "2024-02-29",
        "2024-05-30",
    ]


@pytest.mark.parametrize("cycle", ["MONTHLY", "QUARTERLY", "ANNUAL"])
@pytest.mark.parametrize("anchor", [1, 15, 28, 29, 30, 31])
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Pacific/Apia", "Australia/Lord_Howe"])
def test_periods_touch_and_every_instant_is_in_exactly_one(cycle: str, anchor: int, zone: str) -> None:
    schedule = monthly("2011-03-31", anchor, zone, cycle)
    for index in range(-14, 30):
        period, following = schedule.period(index), schedule.period(index + 1)
        assert period.end == following.start
        last = period.end - timedelta(microseconds=1)
        assert schedule.at(period.start) == schedule.at(last) == period


def test_an_event_at_the_end_belongs_to_the_next_period() -> None:
    november = month_bounds("2023-11")
    assert november.end not in november
    assert november.end - timedelta(microseconds=1) in november


def test_boundaries_are_local_midnights_on_both_sides_of_a_clock_change() -> None:
    october = monthly("2023-10-01", 1, "Europe/Madrid").period(0)
    assert october == Period(utc("2023-09-30T22:00"), utc("2023-10-31T23:00"))
    assert october.end - october.start == timedelta(days=31, hours=1)


def test_a_midnight_that_clocks_skip_is_the_instant_they_skip_it() -> None:
    assert local_midnight(date(2023, 9, 3), "America/Santiago") == utc("2023-09-03T04:00")


def test_a_midnight_that_happens_twice_is_the_first_one() -> None:
    assert local_midnight(date(2023, 11, 5), "America/Havana") == utc("2023-11-05T04:00")


def test_a_start_after_the_anchor_day_falls_into_the_period_under_way() -> None:
    schedule = monthly("2023-11-05", 1)
    assert schedule.at(utc("2023-11-05")) == month_bounds("2023-11")


@pytest.mark.parametrize(
    ("end", "zone", "month"),
    [
        ("2023-12-01T00:00", "UTC", "2023-11"),
        ("2023-12-10T00:00", "UTC", "2023-12"),
        ("2023-12-01T05:00", "America/New_York", "2023-11"),
        ("2023-12-01T05:01", "America/New_York", "2023-12"),
        ("2024-01-01T00:00", "UTC", "2023-12"),
    ],
)
def test_a_period_is_billed_with_the_local_month_of_its_last_instant(end: str, zone: str, month: str) -> None:
    assert billing_month(utc(end), zone) == month


@pytest.mark.parametrize("anchor", range(1, 32))
@pytest.mark.parametrize("zone", ["UTC", "Pacific/Auckland", "America/Los_Angeles"])
def test_a_monthly_subscription_is_due_once_every_month(anchor: int, zone: str) -> None:
    schedule = monthly("2023-01-01", anchor, zone)
    for month in ("2023-02", "2023-03", "2023-11", "2023-12", "2024-01", "2024-02"):
        assert len(due_periods(schedule, month)) == 1


def test_a_quarter_is_due_only_in_the_month_it_ends() -> None:
    schedule = monthly("2023-11-01", 1, cycle="QUARTERLY")
    due = {month: len(due_periods(schedule, month)) for month in ("2023-11", "2023-12", "2024-01", "2024-02")}
    assert due == {"2023-11": 0, "2023-12": 0, "2024-01": 1, "2024-02": 0}


def test_only_periods_that_share_time_overlap() -> None:
    schedule = monthly("2023-01-10", 10)
    found = list(periods_overlapping(schedule, utc("2023-11-10"), utc("2023-12-10")))
    assert [period.start for period in found] == [utc("2023-11-10")]
    assert list(periods_overlapping(schedule, utc("2023-11-10"), utc("2023-11-10"))) == []


@pytest.mark.parametrize("text", ["2023-13", "2023-00", "202311", "2023-1", "٢٠٢٣-١١", "", "2023-11-01"])
def test_a_month_is_written_year_dash_month(text: str) -> None:
    with pytest.raises(NotAMonth, match="YYYY-MM"):
        month_bounds(text)


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../etc/passwd", "Europe"])
def test_a_time_zone_nobody_knows_is_refused(name: str) -> None:
    with pytest.raises(UnknownTimeZone):
        month_bounds("2023-11", name)


@pytest.mark.parametrize(
    "zone", ["UTC", "Europe/Madrid", "America/New_York", "Australia/Lord_Howe", "America/Santiago"]
)
@pytest.mark.parametrize("anchor", [1, 28, 29, 30, 31])
@pytest.mark.parametrize(("cycle", "months"), [("MONTHLY", 1), ("QUARTERLY", 3), ("ANNUAL", 12)])
def test_over_five_years_periods_touch_and_the_anchor_stays(
    zone: str, anchor: int, cycle: str, months: int
) -> None:
    """2023 to 2028 holds two leap years and ten changes of the clock: each period begins at the first instant of its local day,
    on the anchor day or in a shorter month on its last, where the one before ended."""
    schedule = monthly("2023-01-28", anchor, zone, cycle)
    periods = [schedule.period(index) for index in range(60 // months + 1)]
    assert all(a.end == b.start for a, b in pairwise(periods))
    for index, period in enumerate(periods):
        month = index * months
        year, number = 2023 + month // 12, month % 12 + 1
        day = date(year, number, min(anchor, monthrange(year, number)[1]))
        assert period.start == local_midnight(day, zone)
        assert schedule.at(period.start) == period
        assert schedule.at(period.end - timedelta(microseconds=1)) == period
