"""Subscriptions. Put here: what a subscription is, when it is live, how it is read. Keep out: prices, storage."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from domain.catalog.fields import FieldProblem, Fields, required
from domain.period import MONTHS_IN_CYCLE, Period, Schedule, local_midnight

_NOT_YET = {
    "startTrial": "a trial", "trialEndsAt": "a trial", "coupons": "a coupon", "minimumSpend": "a minimum spend",
    "maximumSpend": "a maximum spend", "commitment": "a commitment", "tax": "tax", "taxCode": "tax",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Subscription:
    """A customer's contract for an offering. Days are the customer's own; `end_date` is the first day without it."""

    id: str
    customer: str
    offering: str
    start_date: date
    end_date: date | None
    billing_cycle: str
    anchor_day: int

    def schedule(self, time_zone: str) -> Schedule:
        """How its time is cut into billing periods."""
        return Schedule(self.start_date, self.billing_cycle, self.anchor_day, time_zone)

    def starts_at(self, time_zone: str) -> datetime:
        return local_midnight(self.start_date, time_zone)

    def ends_at(self, time_zone: str) -> datetime | None:
        """The first instant it is no longer live; None: it goes on."""
        return None if self.end_date is None else local_midnight(self.end_date, time_zone)

    def shares_days_with(self, other: Subscription) -> bool:
        """Whether both are live on some day (of the same customer, so in the same time zone)."""
        starts_in_time = other.end_date is None or self.start_date < other.end_date
        ends_in_time = self.end_date is None or other.start_date < self.end_date
        return starts_in_time and ends_in_time


def live_part(period: Period, starts_at: datetime, ends_at: datetime | None) -> Period | None:
    """The part of the period within [starts_at, ends_at); None if there is none."""
    start = max(period.start, starts_at)
    end = period.end if ends_at is None else min(period.end, ends_at)
    return Period(start, end) if start < end else None


def read_subscription(fields: Fields) -> Subscription:
    """Raises FieldProblem, TermsNotSupported."""
    fields.refuse(_NOT_YET)
    start, end = required(fields, "startDate", fields.day("startDate")), fields.day("endDate")
    if end is not None and end <= start:
        raise FieldProblem(
            fields.at("endDate"), f"{end} is not after startDate {start}; it is the first day without it"
        )
    subscription = Subscription(
        id=fields.key("id"),
        customer=fields.key("customer", "customerId"),
        offering=fields.key("offering", "offeringId"),
        start_date=start,
        end_date=end,
        billing_cycle=fields.choice("billingCycle", tuple(MONTHS_IN_CYCLE), "MONTHLY"),
        anchor_day=fields.whole("billingAnchorDay", 1, 31) or start.day,
    )
    fields.done()
    return subscription
