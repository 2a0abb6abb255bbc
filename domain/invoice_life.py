"""What becomes of an invoice with time. Put here: kinds, states, when a draft is issued, when it is due, reminded and given up. Keep out:
payment attempts of a subscription (dunning.py), doing it."""

from __future__ import annotations

from datetime import date, datetime, timedelta

DRAFT, OPEN, PAID, OVERDUE, UNCOLLECTIBLE, VOID = "DRAFT", "OPEN", "PAID", "OVERDUE", "UNCOLLECTIBLE", "VOID"
STATUSES = (DRAFT, OPEN, PAID, OVERDUE, UNCOLLECTIBLE, VOID)
UNPAID = (OPEN, OVERDUE, UNCOLLECTIBLE)
"""Issued and waiting for money. One given up may still be paid."""
PERIOD, ONE_OFF, REISSUE, THRESHOLD = "PERIOD", "ONE_OFF", "REISSUE", "THRESHOLD"
"""Made by a run of a month; made by hand; a void PERIOD one made anew; an interim one. A one-off made anew stays one."""
OF_A_PERIOD = (PERIOD, REISSUE)
"""Kinds that bill a closed period as a whole."""
NOT_BY_A_RUN = (ONE_OFF, THRESHOLD)
"""Kinds whose lines no run of a month makes, so that none comes to them again."""
GRACE_DAYS = 3
"""Days after its period a draft waits for late events, unless the tenant says otherwise."""
DUE_DAYS = 30
"""Days a customer has to pay, unless tenant or customer say otherwise."""
REVIEW = timedelta(hours=24)
"""A draft just written is never issued by itself before somebody could look at it."""
REMINDER_DAYS = (1, 7, 14, 21, 28)
"""Days after the due date on which an unpaid invoice is reminded of."""
GIVEN_UP_DAYS = 35
"""Days after the due date on which it is given up, all reminders having been sent."""


def issued_from(ended_at: datetime, written_at: datetime, grace_days: int) -> datetime:
    """From when a draft may be issued by itself."""
    return max(ended_at + timedelta(days=grace_days), written_at + REVIEW)


def due_date(issued_on: date, due_days: int) -> date:
    """The last day to pay in time."""
    return issued_on + timedelta(days=due_days)


def is_overdue(due_on: date | None, today: date) -> bool:
    """The due date itself is in time."""
    return due_on is not None and today > due_on


def reminders_due(due_on: date, today: date) -> int:
    """How many reminders should have been sent by today."""
    late = (today - due_on).days
    return sum(1 for days in REMINDER_DAYS if days <= late)


def is_given_up(due_on: date, today: date, reminders: int) -> bool:
    """After the last reminder, and time to answer it."""
    return reminders >= len(REMINDER_DAYS) and (today - due_on).days >= GIVEN_UP_DAYS
