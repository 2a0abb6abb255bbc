"""Messages to customers. Put here: keeping a reminder with the step it belongs to, and handing over what waits. Keep out: carrying it
(providers.notifications), when an invoice is reminded of (invoice_upkeep.py).

A message is written in the transaction that counts its step, so each step has one, whatever happens after. Handing it over comes later and
is tried again until it works.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Engine, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from domain.actor import SYSTEM
from domain.errors import AforoError
from domain.invoice_life import REMINDER_DAYS
from domain.message import REMINDER, SENT, UNDELIVERABLE, WAITING, Message, Send, reminder_words
from domain.money import currency_exponent, unpadded
from storage.database import session_scope
from storage.repositories.invoice_appearance import appearance
from storage.tables.invoices import InvoiceRow
from storage.tables.receivables import MessageRow
from storage.tenancy import tenant_tx


@dataclass(slots=True)
class Carried:
    """What a round did: messages handed over, and those that could not be, with the reason."""

    sent: int = 0
    stuck: dict[str, str] = field(default_factory=dict)


def write_reminder(session: Session, row: InvoiceRow, at: datetime) -> None:
    """The message of the step an invoice (locked) has just been counted up to; a step has one. A customer without an e-mail
    address gets none, which the message says."""
    about = row.appearance or appearance(session, row)
    seller = about["seller"].get("legalName") or about["seller"].get("displayName") or row.billing_entity
    recipient = about["buyer"].get("email")
    assert row.due_date is not None
    subject, body = reminder_words(
        seller=seller,
        number=row.number,
        step=row.reminders,
        steps=len(REMINDER_DAYS),
        left=unpadded(row.left, currency_exponent(row.currency)),
        currency=row.currency,
        due_on=row.due_date,
    )
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
    """Hand over what waits, of all tenants, a transaction each. Killed between handing over and noting it, the message is handed over
    again under the same id."""
    done = Carried()
    row = MessageRow
    with session_scope(engine) as session:
        query = select(row.tenant_id, row.id).where(row.status == WAITING)
        waiting = session.execute(query.order_by(row.tenant_id, row.created_at, row.id)).tuples().all()
    for tenant_id, message_id in waiting:
        try:
            with tenant_tx(engine, tenant_id, SYSTEM, at=at) as tx:
                found = tx.session.get(
                    row,
                    (tenant_id, message_id),
                    with_for_update={"skip_locked": True},
                    populate_existing=True,
                )
                if found is None or found.status != WAITING:
                    continue
                send(_message(found))
                found.status, found.sent_at = SENT, at
                done.sent += 1
        except AforoError as error:
            done.stuck[f"{tenant_id}/{message_id}"] = str(error)
    return done


def _message(row: MessageRow) -> Message:
    return Message(row.id, row.tenant_id, row.kind, row.recipient, row.subject, row.body)
