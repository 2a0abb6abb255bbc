"""Subscriptions. Put here: loading and saving them and their phases. Keep out: what may be done with them (services), what they
charge (contracts.py)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Select, func, insert, or_, select, update
from sqlalchemy.orm import Session

from domain.errors import NotFound
from domain.money import unpadded
from domain.phases import Agreement, Phase, PlannedChange, beginning
from domain.spend_limit import stored_spend_limit, written_spend_limit
from domain.subscription import Subscription
from domain.subscription_states import TERMINAL, State
from domain.usage_limits import stored_limits, written_limits
from storage.repositories.among import among
from storage.tables.subscriptions import SubscriptionPhaseRow, SubscriptionRow

EXPIRING_WITHIN = timedelta(days=7)
"""An active subscription that ends this soon is EXPIRING_SOON."""


class SubscriptionNotFound(NotFound):
    """No such subscription in this tenant."""

    code = "SUBSCRIPTION_NOT_FOUND"

    def __init__(self, subscription_id: str) -> None:
        super().__init__(f"subscription {subscription_id!r} does not exist")


@dataclass(frozen=True, slots=True)
class NewSubscription:
    """A subscription with all that was settled when it was agreed."""

    subscription: Subscription
    plan: str
    version: int
    billing_entity: str
    time_zone: str
    agreement: Agreement


class Subscriptions:
    """One tenant's subscriptions."""

    def __init__(self, session: Session, tenant_id: str) -> None:
        self._session = session
        self._tenant_id = tenant_id

    def all(self) -> dict[str, Subscription]:
        """As agreed, and when they ended if they have."""
        ended = self._ended()
        return {row.id: replace(subscription_of(row), ended_at=ended.get(row.id)) for row in self.rows()}

    def rows(self, customers: Collection[str] | None = None) -> list[SubscriptionRow]:
        """All, or those of the customers; by customer and id."""
        query = self._select()
        if customers is not None:
            query = query.where(among(SubscriptionRow.customer_id, customers))
        return list(self._session.scalars(query.order_by(SubscriptionRow.customer_id, SubscriptionRow.id)))

    def get(self, subscription_id: str) -> SubscriptionRow:
        """Raises SubscriptionNotFound."""
        return self._one(self._select().where(SubscriptionRow.id == subscription_id), subscription_id)

    def locked(self, subscription_id: str) -> SubscriptionRow:
        """The row as it is now, held until the transaction ends. Raises SubscriptionNotFound."""
        query = self._select().where(SubscriptionRow.id == subscription_id).with_for_update()
        return self._one(query.execution_options(populate_existing=True), subscription_id)

    def due(self, at: datetime) -> list[str]:
        """Ids of those that something happens to by itself up to `at`, endings first."""
        row = SubscriptionRow
        ending = (row.cancel_at <= at, row.ends_at <= at)
        due = or_(
            *ending,
            row.change_at <= at,
            (row.status == State.CREATED) & (row.starts_at <= at),
            (row.status == State.TRIALING) & (row.trial_ends_at <= at),
            (row.status == State.ACTIVE) & (func.least(row.ends_at, row.cancel_at) <= at + EXPIRING_WITHIN),
        )
        query = select(row.id).where(row.tenant_id == self._tenant_id, row.status.not_in(TERMINAL), due)
        return list(self._session.scalars(query.order_by(func.coalesce(or_(*ending), False).desc(), row.id)))

    def phases(self, subscriptions: Collection[str] | None = None) -> dict[str, list[Phase]]:
        """The recorded phases of each, in order."""
        row = SubscriptionPhaseRow
        query = select(row).where(row.tenant_id == self._tenant_id)
        if subscriptions is not None:
            query = query.where(among(row.subscription_id, subscriptions))
        found: dict[str, list[Phase]] = {}
        for each in self._session.scalars(query.order_by(row.subscription_id, row.number)):
            found.setdefault(each.subscription_id, []).append(_phase(each))
        return found

    def phase_rows(self, subscription_id: str) -> list[SubscriptionPhaseRow]:
        """The recorded phases of one, in order."""
        row = SubscriptionPhaseRow
        query = select(row).where(row.tenant_id == self._tenant_id, row.subscription_id == subscription_id)
        return list(self._session.scalars(query.order_by(row.number)))

    def pinned(self) -> dict[str, tuple[str, int]]:
        """The plan and version each subscription pins."""
        return {row.id: (row.plan_id, row.plan_version) for row in self.rows()}

    def change_agreed(self, subscription: Subscription, time_zone: str) -> None:
        """Set when it ends, its threshold and its limits on usage and spend; all else of a running subscription stays as agreed."""
        self._session.execute(
            update(SubscriptionRow)
            .where(SubscriptionRow.tenant_id == self._tenant_id, SubscriptionRow.id == subscription.id)
            .values(
                end_date=subscription.end_date,
                ends_at=subscription.ends_at(time_zone),
                billing_threshold=subscription.billing_threshold,
                usage_limits=written_limits(subscription.usage_limits),
                spend_limit=written_spend_limit(subscription.spend_limit),
                revision=SubscriptionRow.revision + 1,
            )
        )

    def start(self, news: Iterable[NewSubscription], *, at: datetime, actor: str) -> None:
        """Save new ones with their first phases. at: now. actor: who agreed them."""
        rows, phases = [], []
        for new in news:
            first = beginning(
                new.agreement,
                offering=new.subscription.offering,
                plan=new.plan,
                version=new.version,
                at=at,
                actor=actor,
            )
            rows.append(self._values(new, first[-1].state))
            phases += self._phase_values(new.subscription.id, first, after=0)
        if rows:
            self._session.execute(insert(SubscriptionRow), rows)
            self._session.execute(insert(SubscriptionPhaseRow), phases)

    def record(self, row: SubscriptionRow, phases: Sequence[Phase], *, at: datetime) -> None:
        """Add phases to the history of a locked row, and let the row say what the last one says. at: now."""
        if not phases:
            return
        after = self._session.scalars(
            select(func.max(SubscriptionPhaseRow.number)).where(
                SubscriptionPhaseRow.tenant_id == self._tenant_id,
                SubscriptionPhaseRow.subscription_id == row.id,
            )
        ).one()
        last = phases[-1]
        row.status, row.offering_id = last.state, last.offering
        row.plan_id, row.plan_version = last.plan, last.version
        self.touch(row, at=at)
        self._session.flush()
        self._session.execute(
            insert(SubscriptionPhaseRow), self._phase_values(row.id, phases, after=after or 0)
        )

    def touch(self, row: SubscriptionRow, *, at: datetime) -> None:
        """Note that the row was changed."""
        row.revision += 1
        row.updated_at = at

    def _select(self) -> Select[tuple[SubscriptionRow]]:
        return select(SubscriptionRow).where(SubscriptionRow.tenant_id == self._tenant_id)

    def _one(self, query: Select[tuple[SubscriptionRow]], subscription_id: str) -> SubscriptionRow:
        row = self._session.scalars(query).one_or_none()
        if row is None:
            raise SubscriptionNotFound(subscription_id)
        return row

    def _ended(self) -> dict[str, datetime]:
        row = SubscriptionPhaseRow
        query = select(row.subscription_id, row.starts_at).where(
            row.tenant_id == self._tenant_id, row.state.in_(TERMINAL)
        )
        return dict(self._session.execute(query).tuples().all())

    def _values(self, new: NewSubscription, state: State) -> dict[str, object]:
        subscription, agreement = new.subscription, new.agreement
        return {
            "tenant_id": self._tenant_id,
            "id": subscription.id,
            "customer_id": subscription.customer,
            "offering_id": subscription.offering,
            "plan_id": new.plan,
            "plan_version": new.version,
            "billing_entity_id": new.billing_entity,
            "status": state,
            "start_date": subscription.start_date,
            "end_date": subscription.end_date,
            "starts_at": agreement.starts_at,
            "ends_at": agreement.ends_at,
            "billing_cycle": subscription.billing_cycle,
            "anchor_day": subscription.anchor_day,
            "time_zone": new.time_zone,
            "trial_ends_at": agreement.trial_ends_at,
            "auto_convert": agreement.auto_convert,
            "billing_threshold": subscription.billing_threshold,
            "usage_limits": written_limits(subscription.usage_limits),
            "spend_limit": written_spend_limit(subscription.spend_limit),
        }

    def _phase_values(
        self, subscription_id: str, phases: Sequence[Phase], *, after: int
    ) -> list[dict[str, object]]:
        return [
            {
                "tenant_id": self._tenant_id,
                "subscription_id": subscription_id,
                "number": after + place,
                "state": phase.state,
                "offering_id": phase.offering,
                "plan_id": phase.plan,
                "plan_version": phase.version,
                "reason": phase.reason,
                "actor": phase.actor,
                "starts_at": phase.starts_at,
            }
            for place, phase in enumerate(phases, start=1)
        ]


def agreement_of(row: SubscriptionRow) -> Agreement:
    """What happens to the subscription by itself."""
    change = None
    if row.change_at and row.change_offering_id and row.change_plan_id and row.change_plan_version:
        change = PlannedChange(
            row.change_at,
            row.change_offering_id,
            row.change_plan_id,
            row.change_plan_version,
            row.change_reason or "changed as agreed",
        )
    return Agreement(
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        trial_ends_at=row.trial_ends_at,
        auto_convert=row.auto_convert,
        cancel_at=row.cancel_at,
        cancel_reason=row.cancel_reason,
        change=change,
    )


def subscription_of(row: SubscriptionRow) -> Subscription:
    """The subscription as agreed; its offering is the present one."""
    return Subscription(
        id=row.id,
        customer=row.customer_id,
        offering=row.offering_id,
        start_date=row.start_date,
        end_date=row.end_date,
        billing_cycle=row.billing_cycle,
        anchor_day=row.anchor_day,
        start_trial=row.trial_ends_at is not None,
        trial_ends_at=row.trial_ends_at,
        auto_convert=row.auto_convert,
        billing_entity=row.billing_entity_id,
        billing_threshold=None if row.billing_threshold is None else unpadded(row.billing_threshold),
        usage_limits=stored_limits(row.usage_limits),
        spend_limit=stored_spend_limit(row.spend_limit),
    )


def _phase(row: SubscriptionPhaseRow) -> Phase:
    return Phase(
        State(row.state),
        row.offering_id,
        row.plan_id,
        row.plan_version,
        row.starts_at,
        row.reason,
        row.actor,
    )
