"""Messages to customers. Put here: keeping a reminder with the step it belongs to, and handing over what waits. Keep out: carrying it
(providers.notifications), when an invoice is reminded of (invoice_upkeep.py).

A message is written in the transaction that counts its step, so each step has one, whatever happens after. Handing it over comes later;
that is tried some times, and not at all once there is nothing to say any more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Engine, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from domain.actor import SYSTEM
from domain.errors import AforoError, TransientFailure
from domain.invoice_life import REMINDER_DAYS, UNPAID
from domain.message import (
    DROPPED,
    FAILED,
    REMINDER,
    SENT,
    UNDELIVERABLE,
    WAITING,
    Message,
    Send,
    reminder_words,
    retry_at,
)
from domain.money import currency_exponent, unpadded
from storage.database import session_scope
from storage.repositories.invoice_appearance import appearance
from storage.tables.invoices import InvoiceRow
from storage.tables.receivables import MessageRow
from storage.tenancy import tenant_tx


@dataclass(slots=True)
class Carried:
    """What a round did: messages handed over, those that are needed no more, and those that could not be, with the reason."""

    sent: int = 0
    dropped: int = 0
    stuck: dict[str, str] = field(default_factory=dict)


def write_reminder(session: Session, row: InvoiceRow, at: datetime) -> None:
    """The message of the step an invoice (locked) has just been counted up to; a step has one. A customer without an e-mail
    address gets none, which the message says."""
    about = row.appearance or appearance(session, row)
    recipient = about["buyer"].get("email")
    subject, body = _words(session, row, row.reminders)
    new = insert(MessageRow).values(
        tenant_id=row.tenant_id,
        id=f"msg_{row.id}_{row.reminders}",
        kind=REMINDER,
        customer_id=row.customer_id,
        invoice_id=row.id,
        step=row.reminders,
        recipient=recipient or "",
        subject=subject,
        body=body,
        status=WAITING if recipient else UNDELIVERABLE,
        error=None if recipient else "the customer has no e-mail address",
        created_at=at,
    )
    session.execute(new.on_conflict_do_nothing())


def carry_messages(engine: Engine, send: Send, at: datetime) -> Carried:
    """Hand over what waits and is due by `at`, of all tenants, a transaction each. Killed between handing over and noting it, the
    message is handed over again under the same id."""
    done = Carried()
    row = MessageRow
    with session_scope(engine) as session:
        due = row.status == WAITING, or_(row.next_at.is_(None), row.next_at <= at)
        query = select(row.tenant_id, row.id).where(*due)
        waiting = session.execute(query.order_by(row.tenant_id, row.created_at, row.id)).tuples().all()
    for tenant_id, message_id in waiting:
        with tenant_tx(engine, tenant_id, SYSTEM, at=at) as tx:
            found = tx.session.get(
                row,
                (tenant_id, message_id),
                with_for_update={"skip_locked": True},
                populate_existing=True,
            )
            if found is None or found.status != WAITING:
                continue
            invoice = tx.session.get_one(InvoiceRow, (tenant_id, found.invoice_id))
            found.error = _nothing_to_say(found, invoice)
            if found.error is not None:
                found.status = DROPPED
                done.dropped += 1
            else:
                found.subject, found.body = _words(tx.session, invoice, found.step)
                _hand_over(found, send, at, done)
    return done


def _hand_over(row: MessageRow, send: Send, at: datetime, done: Carried) -> None:
    try:
        send(Message(row.id, row.tenant_id, row.kind, row.recipient, row.subject, row.body))
    except AforoError as error:
        done.stuck[f"{row.tenant_id}/{row.id}"] = row.error = str(error)
        row.attempts += 1
        row.next_at = retry_at(row.attempts, at) if isinstance(error, TransientFailure) else None
        if row.next_at is None:
            row.status = FAILED
    else:
        row.status, row.sent_at, row.next_at = SENT, at, None
        done.sent += 1


def _nothing_to_say(row: MessageRow, invoice: InvoiceRow) -> str | None:
    """Why a message that waited is not to go out any more."""
    if invoice.status not in UNPAID or invoice.left <= 0:
        return f"invoice {invoice.number} is {invoice.status}"
    if row.step < invoice.reminders:
        return f"reminder {invoice.reminders} has taken its place"
    return None


def _words(session: Session, row: InvoiceRow, step: int) -> tuple[str, str]:
    """Subject and text of a reminder, with what is to be paid now."""
    seller = (row.appearance or appearance(session, row))["seller"]
    assert row.due_date is not None
    return reminder_words(
        seller=seller.get("legalName") or seller.get("displayName") or row.billing_entity,
        number=row.number,
        step=step,
        steps=len(REMINDER_DAYS),
        left=unpadded(row.left, currency_exponent(row.currency)),
        currency=row.currency,
        due_on=row.due_date,
    )
