"""Messages to customers. Put here: what a message is, and the words of a reminder. Keep out: sending (providers), keeping (storage)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

REMINDER = "INVOICE_REMINDER"
WAITING, SENT, UNDELIVERABLE = "WAITING", "SENT", "UNDELIVERABLE"


@dataclass(frozen=True, slots=True)
class Message:
    """Something to be said to a customer. id: our own name of it; the same one is said once. recipient: an e-mail address."""

    id: str
    tenant_id: str
    kind: str
    recipient: str
    subject: str
    body: str


Send = Callable[[Message], None]


def reminder_words(
    *, seller: str, number: str, step: int, steps: int, left: Decimal, currency: str, due_on: date
) -> tuple[str, str]:
    """Subject and text of a reminder. step: from 1; the last of `steps` says so. left: what is to be paid."""
    last = step >= steps
    subject = f"{'Last reminder' if last else 'Reminder'}: invoice {number} was due on {due_on.isoformat()}"
    end = (
        "This is our last reminder before we hand the matter on."
        if last
        else "If you have paid in the last few days, please disregard this message."
    )
    body = (
        f"Invoice {number} of {seller} was due on {due_on.isoformat()} and is not paid yet.\n\n"
        f"Still to be paid: {left} {currency}\n\nPlease quote {number} with your payment. {end}\n"
    )
    return subject, body
