"""Subscriptions. Put here: agreeing one, and moving it from state to state. Keep out: changes of offering (plan_changes.py),
payment attempts (dunning.py), HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from domain.catalog.fields import FieldProblem, Fields
from domain.errors import Conflict
from domain.money import unpadded
from domain.period import Schedule, zone
from domain.phases import Phase
from domain.plan_change import IMMEDIATE, PERIOD_END
from domain.spend_limit import read_spend_limit, written_spend_limit
from domain.subscription import Subscription, read_subscription, read_threshold, require_postpaid
from domain.subscription_states import TERMINAL, State, require_legal, require_one_of
from domain.usage_limits import read_usage_limits, require_priced, written_limits
from storage.repositories.billing_entities import BillingEntities
from storage.repositories.paging import PageQuery, keyset
from storage.repositories.subscriptions import Subscriptions as Repository
from storage.services.agreeing import AlreadySubscribed, agreed, require_free, sold, terms_held
from storage.services.differences import differences, no_expectation
from storage.services.sent import new_id, violated
from storage.services.subscription_upkeep import catch_up, record
from storage.tables.catalog import OfferingRow
from storage.tables.customers import CustomerRow
from storage.tables.subscriptions import SubscriptionPhaseRow, SubscriptionRow
from storage.tables.tenants import BillingEntityRow
from storage.tenancy import Tx

FILTERS = {
    "customerId": "customer_id", "offeringId": "offering_id", "status": "status", "billingCycle": "billing_cycle",
    "planId": "plan_id",
}  # fmt: skip
Rows = tuple[list[SubscriptionRow], int, str | None]
"""Of a page: its rows, how many there are in all, and the next page's cursor."""
_HELD_ONCE = "uq_subscriptions_held_once"


class SubscriptionExists(Conflict):
    """The id is taken."""

    code = "SUBSCRIPTION_EXISTS"


class SubscriptionOver(Conflict):
    """It has ended."""

    code = "SUBSCRIPTION_OVER"


class Subscriptions:
    """One tenant's subscriptions."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self.rows = Repository(tx.session, tx.tenant_id)

    def get(self, subscription_id: str) -> SubscriptionRow:
        """Raises SubscriptionNotFound."""
        return self.rows.get(subscription_id)

    def listing(self, page: PageQuery, filters: Mapping[str, str | None]) -> Rows:
        """filters: those of FILTERS that are wanted; exact. See `keyset`."""
        query = select(SubscriptionRow).where(SubscriptionRow.tenant_id == self._tx.tenant_id)
        for name, wanted in filters.items():
            if wanted is not None:
                query = query.where(getattr(SubscriptionRow, FILTERS[name]) == wanted)
        columns = {"createdAt": SubscriptionRow.created_at, "id": SubscriptionRow.id}
        return keyset(self._tx.session, query, columns, page)

    def phases(self, subscription_id: str) -> list[SubscriptionPhaseRow]:
        """The recorded history, in order. Raises SubscriptionNotFound."""
        self.rows.get(subscription_id)
        return self.rows.phase_rows(subscription_id)

    def create(self, sent: Mapping[str, Any]) -> SubscriptionRow:
        """Agree a subscription. Raises FieldProblem, OfferingNotActive, AlreadySubscribed, UnitAlreadyPriced, SubscriptionExists."""
        customer = self._customer(sent)
        asked = self._read(sent, customer)
        offer = sold(
            self._tx.session,
            self._tx.tenant_id,
            asked.offering,
            field="offeringId",
            at=asked.starts_at(customer.time_zone),
        )
        require_postpaid(asked.billing_threshold, offer.offering.billing_mode)
        require_priced(asked.usage_limits, offer.terms.units)
        not_before = require_free(
            self._tx,
            customer.id,
            asked.offering,
            offer.terms.units,
            since=asked.starts_at(customer.time_zone),
            until=asked.ends_at(customer.time_zone),
        )
        new = agreed(
            asked,
            plan=offer.terms.plan,
            version=offer.terms.version,
            trial_days=offer.offering.trial_days,
            time_zone=customer.time_zone,
            billing_entity=self._issuer(asked, customer),
            not_before=not_before,
        )
        try:
            with self._tx.session.begin_nested():
                self.rows.start([new], at=self._tx.at, actor=self._tx.actor.id)
        except IntegrityError as error:
            if violated(error) == _HELD_ONCE:
                raise AlreadySubscribed(customer.id, asked.offering, None) from None
            if violated(error) == "pk_subscriptions":
                raise SubscriptionExists(f"subscription {asked.id!r} exists already") from None
            raise
        row = self.rows.get(asked.id)
        about = {"customerId": customer.id, "offeringId": asked.offering, "status": row.status}
        self._tx.record(
            "SUBSCRIPTION_CREATED",
            "subscription",
            row.id,
            {name: {"before": None, "after": value} for name, value in about.items()},
        )
        return row

    def set_threshold(
        self,
        subscription_id: str,
        sent: Mapping[str, Any],
        expect: Callable[[str, int], None] = no_expectation,
    ) -> SubscriptionRow:
        """The accrued spend at which interim invoices are cut from now on; null: none is. Raises SubscriptionNotFound, StaleEdit,
        SubscriptionOver, FieldProblem."""
        fields = Fields(sent, "")
        threshold = read_threshold(fields)
        fields.done()
        row = self._running(subscription_id, "interim invoices of it", expect)
        offering = self._tx.session.get_one(OfferingRow, (self._tx.tenant_id, row.offering_id))
        require_postpaid(threshold, offering.billing_mode)
        before = row.billing_threshold
        if before == threshold:
            return row
        row.billing_threshold = threshold
        self.rows.touch(row, at=self._tx.at)
        said = {"before": before and str(unpadded(before, 2)), "after": threshold and str(threshold)}
        self._tx.record("SUBSCRIPTION_CHANGED", "subscription", row.id, {"billingThreshold": said})
        return row

    def limit_usage(
        self,
        subscription_id: str,
        sent: Mapping[str, Any],
        expect: Callable[[str, int], None] = no_expectation,
    ) -> SubscriptionRow:
        """Put these limits on usage, and on what it may cost, in place of those it has; none: its plan's hold. They count for every
        period that is not billed for good yet, the present one as a whole. Raises SubscriptionNotFound, StaleEdit, SubscriptionOver, FieldProblem."""
        fields = Fields(sent, "")
        limits, spend = read_usage_limits(fields), written_spend_limit(read_spend_limit(fields))
        fields.done()
        row = self._running(subscription_id, "limits on its usage", expect)
        require_priced(limits, terms_held(self._tx.session, row).units)
        before = {"usageLimits": row.usage_limits, "spendLimit": row.spend_limit}
        after = {"usageLimits": written_limits(limits), "spendLimit": spend}
        if changes := differences(before, after):
            row.usage_limits, row.spend_limit = written_limits(limits), spend
            self.rows.touch(row, at=self._tx.at)
            self._tx.record("SUBSCRIPTION_LIMITED", "subscription", row.id, changes)
        return row

    def _running(
        self, subscription_id: str, what: str, expect: Callable[[str, int], None]
    ) -> SubscriptionRow:
        """One that is not over, held until the transaction ends. what: is asked for, of no use to one that is."""
        row, last = self.open(subscription_id)
        expect(f"subscription {row.id}", row.revision)
        if last.state in TERMINAL:
            raise SubscriptionOver(f"subscription {row.id!r} is {last.state}; {what} mean nothing")
        return row

    def cancel(self, subscription_id: str, sent: Mapping[str, Any]) -> SubscriptionRow:
        """End it: now, with its keys, or at the end of the period. Raises SubscriptionNotFound, IllegalTransition, FieldProblem."""
        fields = Fields(sent, "")
        reason = fields.maybe_text("reason") or "cancelled"
        effective = fields.choice("effective", (IMMEDIATE, PERIOD_END), IMMEDIATE)
        fields.done()
        row, last = self.open(subscription_id)
        require_legal(row.id, last.state, State.CANCELLED)
        if last.state is State.CANCELLED:
            return row
        row.cancel_reason = reason
        if effective == IMMEDIATE:
            return self.move(row, last, State.CANCELLED, reason)
        row.cancel_at = schedule_of(row).at(max(self._tx.at, row.starts_at)).end
        about = {"cancelAt": {"before": None, "after": row.cancel_at.isoformat()}}
        self._tx.record("SUBSCRIPTION_CANCELLATION_AGREED", "subscription", row.id, about, reason)
        if last.state is State.ACTIVE:
            return self.move(row, last, State.EXPIRING_SOON, reason)
        self.rows.touch(row, at=self._tx.at)
        return row

    def pause(self, subscription_id: str, reason: str | None) -> SubscriptionRow:
        """No rights and no charge until it is resumed. Raises SubscriptionNotFound, IllegalTransition."""
        row, last = self.open(subscription_id)
        return self.move(row, last, State.PAUSED, reason or "paused")

    def resume(self, subscription_id: str, reason: str | None) -> SubscriptionRow:
        """Go on: from a pause, a suspension (attempts to get paid begin anew), or an end agreed for later, which is called off.

        Raises SubscriptionNotFound, IllegalTransition.
        """
        row, last = self.open(subscription_id)
        wanted = frozenset({State.PAUSED, State.SUSPENDED, State.EXPIRING_SOON, State.ACTIVE})
        require_one_of(row.id, last.state, wanted, "resuming")
        if row.cancel_at is not None:
            row.cancel_at = row.cancel_reason = None
            self.rows.touch(row, at=self._tx.at)
        if last.state is State.SUSPENDED:
            row.dunning_attempt, row.payment_failed_at = 0, None
        return self.move(row, last, State.ACTIVE, reason or "resumed")

    def convert_trial(self, subscription_id: str, reason: str | None) -> SubscriptionRow:
        """Bill it from now on; nothing of the trial. Raises SubscriptionNotFound, IllegalTransition."""
        row, last = self.open(subscription_id)
        require_one_of(row.id, last.state, frozenset({State.TRIALING, State.ACTIVE}), "converting a trial")
        return self.move(row, last, State.ACTIVE, reason or "the trial was converted")

    def expire(self, subscription_id: str, reason: str | None) -> SubscriptionRow:
        """End it as expired, now. Raises SubscriptionNotFound, IllegalTransition."""
        row, last = self.open(subscription_id)
        return self.move(row, last, State.EXPIRED, reason or "expired")

    def open(self, subscription_id: str) -> tuple[SubscriptionRow, Phase]:
        """The subscription, held until the transaction ends, and its present phase; what was due has been recorded."""
        row = self.rows.locked(subscription_id)
        return row, catch_up(self._tx, row)[-1]

    def move(self, row: SubscriptionRow, last: Phase, state: State, reason: str) -> SubscriptionRow:
        """Let the state follow the last phase; the same state changes nothing. Raises IllegalTransition."""
        require_legal(row.id, last.state, state)
        if last.state is not state:
            at = max(last.starts_at, self._tx.at)
            record(
                self._tx,
                row,
                [replace(last, state=state, reason=reason, actor=self._tx.actor.id, starts_at=at)],
            )
        return row

    def _customer(self, sent: Mapping[str, Any]) -> CustomerRow:
        """The customer, held so that of two subscriptions agreed at once the second sees the first."""
        fields = Fields(sent, "")
        key = fields.key("customerId", "customer")
        query = select(CustomerRow).where(CustomerRow.tenant_id == self._tx.tenant_id, CustomerRow.id == key)
        row = self._tx.session.scalars(query.with_for_update()).one_or_none()
        if row is None or row.archived_at is not None:
            raise FieldProblem(
                "customerId", f"{key!r} is no customer of this tenant; add it, or correct the name"
            )
        return row

    def _read(self, sent: Mapping[str, Any], customer: CustomerRow) -> Subscription:
        today = self._tx.at.astimezone(zone(customer.time_zone)).date().isoformat()
        whole = dict(sent)
        for name, value in (("id", new_id("sub")), ("startDate", today)):
            if whole.get(name) is None:
                whole[name] = value
        return read_subscription(Fields(whole, ""))

    def _issuer(self, asked: Subscription, customer: CustomerRow) -> str:
        wanted = asked.billing_entity or customer.billing_entity_id
        if wanted is None:
            default = BillingEntities(self._tx.session, self._tx.tenant_id).default()
            if default is None:
                raise FieldProblem("billingEntityId", "is missing; the tenant has no default billing entity")
            return default.id
        row = self._tx.session.get(BillingEntityRow, (self._tx.tenant_id, wanted))
        if row is None or row.archived_at is not None:
            raise FieldProblem("billingEntityId", f"{wanted!r} is no billing entity of this tenant")
        return row.id


def schedule_of(row: SubscriptionRow) -> Schedule:
    """How its time is cut into billing periods."""
    return Schedule(row.start_date, row.billing_cycle, row.anchor_day, row.time_zone)


def has_ended(row: SubscriptionRow, at: datetime) -> bool:
    """Whether it is over."""
    ends = [end for end in (row.ends_at, row.cancel_at) if end is not None]
    return row.status in TERMINAL or bool(ends and min(ends) <= at)
