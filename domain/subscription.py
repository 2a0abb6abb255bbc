"""Subscriptions. Put here: what a subscription is, when it is live, how it is read. Keep out: prices, storage."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal

from domain.catalog.fields import FieldProblem, Fields, required, shown
from domain.instant import EPOCH, NotAnInstant, to_micros_since_epoch
from domain.period import MONTHS_IN_CYCLE, Period, Schedule, local_midnight
from domain.spend_limit import SpendLimit, read_spend_limit
from domain.usage_limits import UsageLimit, read_usage_limits

_NOT_YET = {
    "coupons": "a coupon", "minimumSpend": "a minimum spend",
    "maximumSpend": "a maximum spend", "commitment": "a commitment", "tax": "tax", "taxCode": "tax",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Subscription:
    """A customer's contract for an offering. Days are the customer's own; `end_date` is the first day without it.

    start_trial: begins with a trial, until trial_ends_at, or (None) for the offering's trial days; then it is paid for if
    auto_convert, else it pauses. billing_entity: the issuer; None: the tenant's default. billing_threshold: accrued
    spend before tax at which an interim invoice is cut; None: never. ended_at: when it ended for good.
    """

    id: str
    customer: str
    offering: str
    start_date: date
    end_date: date | None
    billing_cycle: str
    anchor_day: int
    start_trial: bool = False
    trial_ends_at: datetime | None = None
    auto_convert: bool = True
    billing_entity: str | None = None
    billing_threshold: Decimal | None = None
    ended_at: datetime | None = None
    usage_limits: tuple[UsageLimit, ...] = ()
    spend_limit: SpendLimit | None = None

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
        mine, others = self._last_day(), other._last_day()
        starts_in_time = others is None or self.start_date < others
        ends_in_time = mine is None or other.start_date < mine
        return starts_in_time and ends_in_time

    def agreeing_with(self, stored: Subscription) -> Subscription:
        """Itself, with what it leaves open as the stored one has it: the end of a trial, the issuer, the threshold, limits on usage and spend,
        when it ended."""
        return replace(
            self,
            trial_ends_at=self.trial_ends_at or (stored.trial_ends_at if self.start_trial else None),
            billing_entity=self.billing_entity or stored.billing_entity,
            billing_threshold=self.billing_threshold or stored.billing_threshold,
            usage_limits=self.usage_limits or stored.usage_limits,
            spend_limit=self.spend_limit or stored.spend_limit,
            ended_at=stored.ended_at,
        )

    def _last_day(self) -> date | None:
        """The first day that does not share usage with it; None: it goes on."""
        if self.ended_at is None:
            return self.end_date
        ended = self.ended_at.date()
        return ended if self.end_date is None else min(ended, self.end_date)


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
        trial_ends_at=instant(fields, "trialEndsAt"),
        start_trial=fields.flag("startTrial", fields.has("trialEndsAt")),
        auto_convert=fields.flag("autoConvertPaid", True),
        billing_entity=fields.key("billingEntityId", "billingEntity")
        if fields.has("billingEntityId", "billingEntity")
        else None,
        billing_threshold=read_threshold(fields),
        usage_limits=read_usage_limits(fields),
        spend_limit=read_spend_limit(fields),
    )
    fields.done()
    if subscription.trial_ends_at is not None and not subscription.start_trial:
        raise FieldProblem(
            fields.at("trialEndsAt"), "means nothing without a trial; leave startTrial out or true"
        )
    return subscription


def read_threshold(fields: Fields) -> Decimal | None:
    """The accrued spend at which an interim invoice is cut. Raises FieldProblem."""
    found = fields.price("billingThreshold")
    if found is not None and (found <= 0 or found != found.quantize(Decimal("0.0001"))):
        raise FieldProblem(
            fields.at("billingThreshold"),
            f"{found} is no spend; say an amount above 0 in the customer's currency",
        )
    return found


def require_postpaid(threshold: Decimal | None, billing_mode: str, path: str = "") -> None:
    """Usage that a wallet pays for as it happens has nothing to wait for. Raises FieldProblem."""
    if threshold is not None and billing_mode != "POSTPAID":
        field = f"{path}.billingThreshold" if path else "billingThreshold"
        raise FieldProblem(field, f"means nothing for an offering that is {billing_mode}; leave it out")


def instant(fields: Fields, name: str) -> datetime | None:
    """A moment as sent, aware UTC. Raises FieldProblem."""
    name, value = fields.raw(name)
    if value is None:
        return None
    try:
        return EPOCH + timedelta(microseconds=to_micros_since_epoch(value))
    except NotAnInstant as error:
        raise FieldProblem(fields.at(name), f"{shown(value)} {error}") from None
