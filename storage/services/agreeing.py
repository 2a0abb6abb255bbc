"""Agreeing a subscription. Put here: what must hold before one begins or changes its offering, and what is settled then. Keep
out: states and phases after that."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy.orm import Session

from domain.catalog.fields import FieldProblem
from domain.errors import Conflict
from domain.period import local_midnight
from domain.phases import Agreement, stretches, timeline
from domain.subscription import Subscription
from domain.subscription_states import TERMINAL, State
from domain.terms import PlanTerms, plan_terms
from storage.repositories.bundles import Bundles
from storage.repositories.subscriptions import NewSubscription, Subscriptions, agreement_of
from storage.services.rate_plans import pinned_version
from storage.tables.catalog import OfferingRow, RatePlanVersionRow
from storage.tables.subscriptions import SubscriptionRow
from storage.tenancy import Tx


class OfferingNotActive(Conflict):
    """Drafts and archived offerings take no subscriptions."""

    code = "OFFERING_NOT_ACTIVE"

    def __init__(self, offering: str, status: str) -> None:
        super().__init__(f"offering {offering!r} is {status}; only ACTIVE offerings take subscriptions")


class AlreadySubscribed(Conflict):
    """A customer holds an offering once."""

    code = "ALREADY_SUBSCRIBED"

    def __init__(self, customer: str, offering: str, other: str | None) -> None:
        by = f" by subscription {other!r}" if other else ""
        super().__init__(f"customer {customer!r} already holds offering {offering!r}{by}; end that one first")


class UnitAlreadyPriced(Conflict):
    """A unit of usage is paid for once."""

    code = "UNIT_ALREADY_PRICED"

    def __init__(self, customer: str, unit: str, other: str) -> None:
        super().__init__(
            f"unit {unit!r} of customer {customer!r} is already paid for by subscription {other!r} at the same time; "
            "end that one first"
        )


@dataclass(frozen=True, slots=True)
class Sold:
    """An offering with the plan version a subscription to it pins."""

    offering: OfferingRow
    terms: PlanTerms

    @property
    def base_fee(self) -> Decimal:
        """Of a whole period."""
        fees = (item["flat_amount"] for item in self.terms.items if item["kind"] == "BASE_FEE")
        return sum(fees, Decimal(0))


def sold(
    session: Session, tenant_id: str, offering: str, *, field: str, at: datetime, currency: str | None = None
) -> Sold:
    """The offering and the version a subscription that begins at `at` pins. field: where the offering was named.

    currency: what it must be priced in; None: anything, bills are converted. Raises FieldProblem if there is no such offering
    or it is in another currency, OfferingNotActive.
    """
    shared = {"read": True}  # not archived meanwhile
    row = session.get(OfferingRow, (tenant_id, offering), populate_existing=True, with_for_update=shared)
    if row is None:
        raise FieldProblem(field, f"{offering!r} is no offering of this tenant; add it, or correct the name")
    if row.status != "ACTIVE":
        raise OfferingNotActive(offering, row.status)
    if currency is not None and row.currency != currency:
        what = (
            f"{row.currency} of offering {offering!r} is not {currency}, in which the subscription is priced"
        )
        raise FieldProblem(field, f"{what}; subscribe to it anew instead")
    version = pin(session, tenant_id, row.plan_id, at)
    return Sold(row, whole_terms(session, tenant_id, row.id, (row.plan_id, version), at))


def terms_of(session: Session, tenant_id: str, plan: str, version: int) -> PlanTerms:
    """A pinned version, ready to be billed."""
    row = session.get_one(RatePlanVersionRow, (tenant_id, plan, version))
    return plan_terms(plan, version, row.content)


def whole_terms(
    session: Session, tenant_id: str, offering: str, pinned: tuple[str, int], at: datetime
) -> PlanTerms:
    """All an offering charges, given the version of its first plan: of a bundle the other plans too, as in force at `at`."""
    return Bundles(session, tenant_id).of_offering(offering, terms_of(session, tenant_id, *pinned), at)


def terms_held(session: Session, row: SubscriptionRow) -> PlanTerms:
    """All a subscription pays for at present, as its bill says: of a bundle the versions that were there when it was agreed."""
    primary = terms_of(session, row.tenant_id, row.plan_id, row.plan_version)
    bundles = Bundles(session, row.tenant_id, [row.id])
    if not bundles.is_one(row.offering_id):
        return primary
    return bundles.of_subscription(row.id, row.offering_id, primary, _present_since(session, row))


def _present_since(session: Session, row: SubscriptionRow) -> datetime:
    """When the stretch of its present offering and version began; while it is paused or over, the last one."""
    recorded = Subscriptions(session, row.tenant_id).phases([row.id])[row.id]
    now = recorded[-1]
    found = row.starts_at
    for stretch in stretches(timeline(recorded, agreement_of(row))):
        if (stretch.offering, stretch.plan, stretch.version) != (now.offering, now.plan, now.version):
            continue
        found = stretch.starts_at
        if stretch.ends_at is None or stretch.ends_at > now.starts_at:
            break
    return found


def pin(session: Session, tenant_id: str, plan: str, at: datetime) -> int:
    """The number of the version that is in force at the instant."""
    return pinned_version(session, tenant_id, plan, at)


def agreed(
    subscription: Subscription,
    *,
    plan: str,
    version: int,
    trial_days: int,
    time_zone: str,
    billing_entity: str,
    not_before: datetime | None = None,
    path: str = "",
) -> NewSubscription:
    """The subscription with its times settled. not_before: it begins no earlier, because usage until then is another's.

    Raises FieldProblem for a trial that has no end, or ends before it begins.
    """
    starts_at = subscription.starts_at(time_zone)
    ends_at = subscription.ends_at(time_zone)
    if not_before is not None and starts_at < not_before and (ends_at is None or not_before < ends_at):
        starts_at = not_before
    trial_end = subscription.trial_ends_at
    field = f"{path}.trialEndsAt" if path else "trialEndsAt"
    if subscription.start_trial and trial_end is None:
        if not trial_days:
            raise FieldProblem(
                field, "is missing; the offering has no trial (trialDays), so say when this one ends"
            )
        trial_end = local_midnight(subscription.start_date + timedelta(days=trial_days), time_zone)
    if trial_end is not None and trial_end <= starts_at:
        raise FieldProblem(field, f"{trial_end.isoformat()} is not after its start {starts_at.isoformat()}")
    agreement = Agreement(
        starts_at=starts_at,
        ends_at=ends_at,
        trial_ends_at=trial_end,
        auto_convert=subscription.auto_convert,
    )
    return NewSubscription(subscription, plan, version, billing_entity, time_zone, agreement)


def require_free(
    tx: Tx,
    customer: str,
    offering: str,
    units: Collection[str],
    *,
    since: datetime,
    until: datetime | None,
    but: str | None = None,
) -> datetime | None:
    """See that nothing else the customer holds in [since, until) is this offering or prices these units.

    Returns when the last such subscription that has ended for good did, if that is after `since`: a new one may begin only
    then. but: the subscription that is about to change. The customer's row must be locked. Raises AlreadySubscribed,
    UnitAlreadyPriced.
    """
    not_before = None
    for row, live in _others(tx, customer, but):
        end = live[1]
        if (end is not None and end <= since) or (until is not None and until <= live[0]):
            continue
        clash = _clash(tx, row, offering, units)
        if clash is None:
            continue
        if row.status in TERMINAL and end is not None and end <= tx.at:
            not_before = end if not_before is None else max(not_before, end)
        else:
            raise clash
    return not_before


def _others(
    tx: Tx, customer: str, but: str | None
) -> Iterator[tuple[SubscriptionRow, tuple[datetime, datetime | None]]]:
    """The customer's other subscriptions and their lives [start, end) as far as known."""
    repository = Subscriptions(tx.session, tx.tenant_id)
    rows = [row for row in repository.rows([customer]) if row.id != but]
    recorded = repository.phases([row.id for row in rows])
    for row in rows:
        phases = timeline(recorded[row.id], agreement_of(row))
        end = phases[-1].starts_at if phases[-1].state in TERMINAL else None
        began = (
            row.starts_at if phases[0].state is not State.CREATED else max(row.starts_at, phases[0].starts_at)
        )
        yield row, (began, end)


def _clash(tx: Tx, row: SubscriptionRow, offering: str, units: Collection[str]) -> Conflict | None:
    if offering in (row.offering_id, row.change_offering_id):
        return AlreadySubscribed(row.customer_id, offering, row.id)
    priced = set(terms_held(tx.session, row).units)
    if row.change_offering_id and row.change_plan_id and row.change_plan_version and row.change_at:
        to_come = (row.change_plan_id, row.change_plan_version)
        whole = whole_terms(tx.session, tx.tenant_id, row.change_offering_id, to_come, row.change_at)
        priced |= set(whole.units)
    shared = priced & set(units)
    return UnitAlreadyPriced(row.customer_id, min(shared), row.id) if shared else None
