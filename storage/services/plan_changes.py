"""Changes of offering. Put here: previewing and making them, in place. Keep out: states, what a change costs
(domain.plan_change)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from domain.catalog.fields import Fields
from domain.errors import Conflict
from domain.period import zone
from domain.phases import Phase
from domain.plan_change import IMMEDIATE, PERIOD_END, Preview, Side, Situation, preview
from domain.subscription_states import BILLED, CHANGEABLE, MIGRATABLE, State, require_one_of
from storage.bill_claims import is_billed_now
from storage.repositories.bill_requests import LIVE, BillRunInProgress
from storage.services.agreeing import AlreadySubscribed, Sold, require_free, sold, terms_held
from storage.services.sent import violated
from storage.services.subscription_upkeep import record
from storage.services.subscriptions import Subscriptions, schedule_of
from storage.tables.catalog import OfferingRow
from storage.tables.customers import CustomerRow
from storage.tables.operations import BillRequestRow
from storage.tables.subscriptions import SubscriptionRow
from storage.tables.tenants import BillingEntityRow
from storage.tenancy import Tx


class SameOffering(Conflict):
    """A change must lead somewhere else."""

    code = "SAME_OFFERING"

    def __init__(self, subscription: str, offering: str) -> None:
        super().__init__(
            f"subscription {subscription!r} is already for offering {offering!r}; choose another"
        )


class WrongDirection(Conflict):
    """An upgrade leads to a dearer offering, a downgrade to a cheaper one."""

    code = "WRONG_DIRECTION"

    def __init__(self, asked: str, really: str) -> None:
        super().__init__(
            f"this change is a {really} by its base fee, not an {asked}; ask for what it is, or migrate"
        )


@dataclass(frozen=True, slots=True)
class Change:
    """A change as asked for, at the instant it is made; all that is needed to preview or make it."""

    row: SubscriptionRow
    last: Phase
    target: Sold
    effective: str
    reason: str
    preview: Preview


class PlanChanges:
    """Changes of offering of one tenant's subscriptions. They keep id, state, anchor day and trial."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._subscriptions = Subscriptions(tx)

    def preview(self, subscription_id: str, sent: Mapping[str, Any]) -> Preview:
        """What the change would come to now. Raises what `change` raises."""
        return self._asked(subscription_id, sent, MIGRATABLE).preview

    def change(
        self, subscription_id: str, sent: Mapping[str, Any], direction: str | None = None
    ) -> tuple[SubscriptionRow, Preview]:
        """Make it, now or at the period's end. direction: UPGRADE or DOWNGRADE if the caller says which it must be.

        Raises SubscriptionNotFound, IllegalTransition, SameOffering, WrongDirection, OfferingNotActive, AlreadySubscribed,
        UnitAlreadyPriced, FieldProblem.
        """
        asked = self._asked(subscription_id, sent, CHANGEABLE)
        if direction is not None and asked.preview.change_type not in (direction, "LATERAL"):
            raise WrongDirection(direction, asked.preview.change_type)
        return self._make(asked), asked.preview

    def migrate(self, subscription_id: str, sent: Mapping[str, Any]) -> tuple[SubscriptionRow, Preview]:
        """Make it now, also while paused, but not while the tenant is being billed. Raises BillRunInProgress and what `change` raises."""
        running = select(BillRequestRow.id).where(
            BillRequestRow.tenant_id == self._tx.tenant_id,
            BillRequestRow.status.in_(("QUEUED", "RUNNING")),
            BillRequestRow.environment == LIVE,
        )
        is_running = self._tx.session.scalars(running.limit(1)).first() is not None
        if is_running or is_billed_now(self._tx.session, self._tx.tenant_id):
            raise BillRunInProgress(self._tx.tenant_id)
        asked = self._asked(subscription_id, sent, MIGRATABLE)
        return self._make(asked), asked.preview

    def _asked(self, subscription_id: str, sent: Mapping[str, Any], allowed: frozenset[State]) -> Change:
        target, reason, effective = _read(sent)
        self._hold_customer(subscription_id)
        row, last = self._subscriptions.open(subscription_id)
        require_one_of(row.id, last.state, allowed, "a change of offering")
        if target == row.offering_id:
            raise SameOffering(row.id, target)
        at = max(last.starts_at, self._tx.at.replace(microsecond=0))
        period = schedule_of(row).at(max(at, row.starts_at))
        begins = period.end if effective == PERIOD_END else at
        current = self._tx.session.get_one(OfferingRow, (self._tx.tenant_id, row.offering_id))
        offer = sold(
            self._tx.session,
            self._tx.tenant_id,
            target,
            field="targetOfferingId",
            currency=current.currency,
            at=begins,
        )
        require_free(
            self._tx, row.customer_id, target, offer.terms.units, since=begins, until=row.ends_at, but=row.id
        )
        old = Sold(current, terms_held(self._tx.session, row))
        sides = Side(current.name, old.base_fee), Side(offer.offering.name, offer.base_fee)
        shown = preview(*sides, self._situation(row, last, current, at), at=at, effective=effective)
        return Change(row, last, offer, effective, reason, shown)

    def _hold_customer(self, subscription_id: str) -> None:
        """Customer before subscription, as when one is agreed: so two never wait for each other."""
        customer = self._subscriptions.get(subscription_id).customer_id
        query = select(CustomerRow.id).where(
            CustomerRow.tenant_id == self._tx.tenant_id, CustomerRow.id == customer
        )
        self._tx.session.execute(query.with_for_update())

    def _situation(self, row: SubscriptionRow, last: Phase, offering: OfferingRow, at: datetime) -> Situation:
        period = schedule_of(row).at(max(at, row.starts_at))
        ends = [end for end in (row.ends_at, row.cancel_at, period.end) if end is not None]
        renews = row.trial_ends_at if last.state is State.TRIALING and row.trial_ends_at else period.end
        issuer = self._tx.session.get_one(BillingEntityRow, (self._tx.tenant_id, row.billing_entity_id))
        return Situation(
            period=period,
            live_until=max(min(ends), at),
            paying=last.state in BILLED,
            currency=offering.currency,
            rounding=issuer.rounding,
            cycle=row.billing_cycle,
            renews_on=renews.astimezone(zone(row.time_zone)).date(),
        )

    def _make(self, asked: Change) -> SubscriptionRow:
        row, terms = asked.row, asked.target.terms
        if asked.effective == PERIOD_END:
            row.change_at, row.change_reason = asked.preview.effective_at, asked.reason
            row.change_offering_id = asked.target.offering.id
            row.change_plan_id, row.change_plan_version = terms.plan, terms.version
            about = {
                "offeringId": {"before": row.offering_id, "after": row.change_offering_id},
                "changeAt": {"before": None, "after": row.change_at.isoformat()},
            }
            self._tx.record("SUBSCRIPTION_CHANGE_AGREED", "subscription", row.id, about, asked.reason)
            self._subscriptions.rows.touch(row, at=self._tx.at)
            return row
        phase = replace(
            asked.last,
            offering=asked.target.offering.id,
            plan=terms.plan,
            version=terms.version,
            reason=asked.reason,
            actor=self._tx.actor.id,
            starts_at=asked.preview.effective_at,
        )
        try:
            with self._tx.session.begin_nested():
                record(self._tx, row, [phase])
        except IntegrityError as error:
            if violated(error) == "uq_subscriptions_held_once":
                raise AlreadySubscribed(row.customer_id, asked.target.offering.id, None) from None
            raise
        return row


def _read(sent: Mapping[str, Any]) -> tuple[str, str, str]:
    """Target offering, reason, and when. Raises FieldProblem."""
    fields = Fields(sent, "")
    target = fields.key("targetOfferingId", "offeringId")
    reason = fields.maybe_text("reason") or "changed"
    effective = fields.choice("effective", (IMMEDIATE, PERIOD_END), IMMEDIATE)
    fields.flag("autoSettleRefund", False)
    fields.done()
    return target, reason, effective
