"""Billing periods. Put here: cutting a subscription's time into half-open periods. Keep out: clocks, prices, states.

A period is [start, end) in the customer's time zone: an event at `end` belongs to the next. Boundaries are local midnights
on the anchor day; in a month that is too short, on its last day, without drifting (31 Jan, 28 Feb, 31 Mar).
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from domain.errors import PermanentFailure

MONTHS_IN_CYCLE = {"MONTHLY": 1, "QUARTERLY": 3, "ANNUAL": 12}
_MICROSECOND = timedelta(microseconds=1)


class UnknownTimeZone(PermanentFailure):
    """A name that is not in the IANA time zone database."""

    code = "UNKNOWN_TIME_ZONE"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"time zone {name!r} is not in the IANA database; use a name such as 'Europe/Madrid'"
        )


class NotAMonth(PermanentFailure):
    """A billing month that is not written YYYY-MM."""

    code = "NOT_A_MONTH"

    def __init__(self, text: str) -> None:
        super().__init__(f"month {text!r} is not a billing month; write it YYYY-MM, such as '2023-11'")


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """A half-open stretch of time; both ends aware, in UTC."""

    start: datetime
    end: datetime

    def overlaps(self, other: Period) -> bool:
        return self.start < other.end and other.start < self.end

    def __contains__(self, instant: datetime) -> bool:
        return self.start <= instant < self.end


@dataclass(frozen=True, slots=True)
class Schedule:
    """How a subscription's time is cut. first: the local date it starts on. cycle: a key of MONTHS_IN_CYCLE.

    anchor_day: 1 to 31, the day of the month periods start on. Boundaries lie in the month of `first` and every cycle
    before and after it, so the first period may start before the subscription does.
    """

    first: date
    cycle: str
    anchor_day: int
    time_zone: str

    def period(self, index: int) -> Period:
        """The period that starts `index` cycles after the month of `first`."""
        return Period(self._boundary(index), self._boundary(index + 1))

    def index_at(self, instant: datetime) -> int:
        """The index of the period that holds the instant."""
        local = instant.astimezone(zone(self.time_zone))
        months = (local.year - self.first.year) * 12 + local.month - self.first.month
        index = months // MONTHS_IN_CYCLE[self.cycle]
        return index if self._boundary(index) <= instant else index - 1

    def at(self, instant: datetime) -> Period:
        """The period that holds the instant."""
        return self.period(self.index_at(instant))

    def _boundary(self, index: int) -> datetime:
        month = self.first.year * 12 + self.first.month - 1 + index * MONTHS_IN_CYCLE[self.cycle]
        year, month_of_year = month // 12, month % 12 + 1
        day = min(self.anchor_day, monthrange(year, month_of_year)[1])
        return local_midnight(date(year, month_of_year, day), self.time_zone)


def periods_overlapping(schedule: Schedule, start: datetime, end: datetime) -> Iterator[Period]:
    """The schedule's periods that share time with [start, end), in order; none if it is empty."""
    if start >= end:
        return
    index = schedule.index_at(start)
    while (period := schedule.period(index)).start < end:
        yield period
        index += 1


def due_periods(schedule: Schedule, month: str) -> list[Period]:
    """The periods billed with the month: those whose last instant lies in it, locally. At most one per cycle."""
    bounds = month_bounds(month, schedule.time_zone)
    periods = periods_overlapping(schedule, bounds.start, bounds.end)
    return [period for period in periods if billing_month(period.end, schedule.time_zone) == month]


def billing_month(period_end: datetime, time_zone: str) -> str:
    """The local month, YYYY-MM, of the last instant before the end: a period [1 Nov, 1 Dec) is billed with November."""
    return (period_end - _MICROSECOND).astimezone(zone(time_zone)).strftime("%Y-%m")


def month_bounds(month: str, time_zone: str = "UTC") -> Period:
    """The calendar month YYYY-MM in the time zone. Raises NotAMonth."""
    year, number = parse_month(month)
    following = date(year + number // 12, number % 12 + 1, 1)
    return Period(local_midnight(date(year, number, 1), time_zone), local_midnight(following, time_zone))


def parse_month(month: str) -> tuple[int, int]:
    """Year and month of YYYY-MM. Raises NotAMonth."""
    year, dash, number = month.partition("-")
    written = (
        len(year) == 4
        and len(number) == 2
        and dash
        and (year + number).isascii()
        and (year + number).isdigit()
    )
    if not written or not 1 <= int(number) <= 12 or not 1 <= int(year) < 9999:
        raise NotAMonth(month)
    return int(year), int(number)


@lru_cache(4096)
def local_midnight(day: date, time_zone: str) -> datetime:
    """The first instant of the local day, in UTC; where clocks skip midnight, the instant they skip it."""
    return datetime(day.year, day.month, day.day, tzinfo=zone(time_zone)).astimezone(UTC)


def zone(name: str) -> ZoneInfo:
    """The time zone of an IANA name. Raises UnknownTimeZone."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UnknownTimeZone(name) from None
