"""Fees of a period. Put here: when a base fee is due, in arrears or in advance, what comes back, and the setup fee. Keep out: usage,
amounts (Rate)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from domain.period import Period, Schedule, zone

OF_BASE_FEES = ("ADVANCE_FEE", "FEE_CREDIT")
"""What else a bill may make of a base fee."""
_MICROSECOND = timedelta(microseconds=1)


def fees_of_period(
    item: Mapping[str, Any],
    schedule: Schedule,
    period: Period,
    live: Period,
    *,
    starts_at: datetime,
    ends_at: datetime | None,
    opens: bool,
) -> Iterator[dict[str, Any]]:
    """What the bill of a period makes of a plan's fee: the columns in which its lines differ from the item, `kind` among them.

    In advance, the bill of a period also has the next one's fee, in full, if the contract is live when that begins. So a period
    that was paid for before needs no fee, only a credit where the contract ends within it; and the first period, which no bill
    came before, is billed with its own. opens: the contract is the subscription's first that is paid for.
    """
    first = starts_at >= period.start
    if item["kind"] == "SETUP_FEE":
        if opens and first:
            yield {}
        return
    if item["billing_timing"] != "ADVANCE" or first:
        yield {}
    elif live.end < period.end:
        yield {
            "kind": "FEE_CREDIT",
            "description": f"{item['description']}, unused {_days(schedule, live.end, period.end)}",
            "service_start": live.end,
            "service_end": period.end,
        }
    if item["billing_timing"] == "ADVANCE" and (ends_at is None or ends_at > period.end):
        following = schedule.at(period.end)
        yield {
            "kind": "ADVANCE_FEE",
            "description": f"{item['description']}, {_days(schedule, following.start, following.end)} in advance",
            "service_start": following.start,
            "service_end": following.end,
        }


def _days(schedule: Schedule, start: datetime, end: datetime) -> str:
    """First and last day of a stretch of time, in the customer's time zone."""
    local = zone(schedule.time_zone)
    first, last = (at.astimezone(local).date() for at in (start, end - _MICROSECOND))
    return f"{first} to {last}"
