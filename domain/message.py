"""Messages to customers. Put here: what a message is, when it is tried again, and the words of a reminder. Keep out: sending (providers), keeping (storage)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

REMINDER = "INVOICE_REMINDER"
WAITING, SENT, UNDELIVERABLE, FAILED, DROPPED = "WAITING", "SENT", "UNDELIVERABLE", "FAILED", "DROPPED"
STATUSES = (WAITING, SENT, UNDELIVERABLE, FAILED, DROPPED)
RETRY_AFTER = (timedelta(hours=1), timedelta(hours=6), timedelta(days=1), timedelta(days=3))
"""How long a message waits after each attempt to hand it over that failed; one more, and it is given up."""


@dataclass(frozen=True, slots=True)
class Message:
    """Something to be said to a customer. id: our own name of it; the same one is said once. recipient: an e-mail address."""

    id: str
    tenant_id: str
    kind: str
    recipient: str
    subject: str
    body: str


def retry_at(attempts: int, at: datetime) -> datetime | None:
    """When to try again after the attempt at `at`, the `attempts`-th that failed; None: not again."""
    return at + RETRY_AFTER[attempts - 1] if attempts <= len(RETRY_AFTER) else None


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
