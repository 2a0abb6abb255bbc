"""Payment attempts of subscriptions. Put here: recording how they went, and what that does. Keep out: making payments, states
in general."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from domain.catalog.fields import Fields
from domain.dunning import after_failure
from domain.subscription_states import RETRYABLE, State, require_legal, require_one_of
from storage.repositories.paging import PageQuery, keyset
from storage.services.subscriptions import Rows, Subscriptions
from storage.tables.invoices import InvoiceRow
from storage.tables.subscriptions import SubscriptionRow
from storage.tenancy import Tx

SUCCEEDED, FAILED = "SUCCEEDED", "FAILED"
_UNPAID = ("OPEN", "OVERDUE", "UNCOLLECTIBLE")


@dataclass(frozen=True, slots=True)
class Attempt:
    """How an attempt went. outcome: SUCCEEDED, FAILED, or None where nothing was decided."""

    row: SubscriptionRow
    outcome: str | None
    message: str


class Dunning:
    """One tenant's subscriptions as far as payment goes."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._subscriptions = Subscriptions(tx)

    def past_due(self, page: PageQuery) -> Rows:
        """Subscriptions whose payment failed. See `keyset`."""
        row = SubscriptionRow
        query = select(row).where(row.tenant_id == self._tx.tenant_id, row.status == State.PAST_DUE)
        return keyset(self._tx.session, query, {"createdAt": row.created_at, "id": row.id}, page)

    def retry(self, subscription_id: str, sent: Mapping[str, Any]) -> Attempt:
        """Try again to get paid. Without an outcome the invoices decide: once none is left unpaid it is ACTIVE.

        Raises SubscriptionNotFound, IllegalTransition, FieldProblem.
        """
        outcome = _outcome(sent)
        row, last = self._subscriptions.open(subscription_id)
        require_one_of(row.id, last.state, RETRYABLE, "a payment attempt")
        if outcome == FAILED:
            self._subscriptions.rows.touch(row, at=self._tx.at)
            return Attempt(row, FAILED, "the payment failed; the subscription stays as it is")
        unpaid = self._unpaid(row.customer_id)
        if outcome is None and unpaid:
            message = f"{unpaid} invoices of customer {row.customer_id} are unpaid; pay them, then try again"
            return Attempt(row, None, message)
        return self._paid(subscription_id)

    def update(self, subscription_id: str, sent: Mapping[str, Any]) -> Attempt:
        """Record how an attempt of the dunning run went: the first failure makes it PAST_DUE, the last SUSPENDED.

        Raises SubscriptionNotFound, IllegalTransition, FieldProblem.
        """
        outcome = _outcome(sent) or FAILED
        if outcome == SUCCEEDED:
            return self._paid(subscription_id)
        row, last = self._subscriptions.open(subscription_id)
        state, attempt = after_failure(last.state, row.dunning_attempt)
        require_legal(row.id, last.state, state)
        row.dunning_attempt = attempt
        row.payment_failed_at = row.payment_failed_at or self._tx.at
        self._subscriptions.rows.touch(row, at=self._tx.at)
        self._tx.record(
            "PAYMENT_ATTEMPT_FAILED",
            "subscription",
            row.id,
            {"attempt": {"before": attempt - 1, "after": attempt}},
        )
        self._subscriptions.move(row, last, state, f"payment attempt {attempt} failed")
        return Attempt(row, FAILED, f"payment attempt {attempt} failed; the subscription is {row.status}")

    def _paid(self, subscription_id: str) -> Attempt:
        row, last = self._subscriptions.open(subscription_id)
        require_one_of(row.id, last.state, RETRYABLE | {State.ACTIVE}, "a payment attempt")
        row.dunning_attempt, row.payment_failed_at = 0, None
        self._subscriptions.rows.touch(row, at=self._tx.at)
        self._subscriptions.move(row, last, State.ACTIVE, "paid")
        return Attempt(row, SUCCEEDED, "nothing is unpaid; the subscription is ACTIVE")

    def _unpaid(self, customer: str) -> int:
        query = select(func.count()).where(
            InvoiceRow.tenant_id == self._tx.tenant_id,
            InvoiceRow.customer_id == customer,
            InvoiceRow.status.in_(_UNPAID),
            InvoiceRow.amount_due > 0,
        )
        return self._tx.session.scalars(query).one()


def _outcome(sent: Mapping[str, Any]) -> str | None:
    fields = Fields(sent, "")
    outcome = fields.choice("outcome", (SUCCEEDED, FAILED), "") if fields.has("outcome") else None
    fields.maybe_text("reason")
    fields.raw("outcome")
    fields.done()
    return outcome
