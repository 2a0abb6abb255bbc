"""Payment attempts of a subscription. Put here: when each is due and what a failure leads to. Keep out: making payments,
reminders of an invoice."""

from __future__ import annotations

from datetime import datetime, timedelta

from domain.subscription_states import State

ATTEMPT_DAYS = (0, 3, 7)
"""Days after the first failure; attempt 1 is the failure itself. After the last one the subscription is suspended."""


def after_failure(state: State, attempt: int) -> tuple[State, int]:
    """State and attempt after one more failed attempt. attempt: how many have failed so far."""
    failed = attempt + 1
    if state is State.SUSPENDED or failed >= len(ATTEMPT_DAYS):
        return State.SUSPENDED, min(failed, len(ATTEMPT_DAYS))
    return State.PAST_DUE, failed


def is_attempt_due(first_failure: datetime | None, attempt: int, at: datetime) -> bool:
    """Whether a failure at `at` is one more attempt; of several payments that fail on one day of attempts, one counts."""
    if first_failure is None or attempt == 0:
        return True
    following = next_attempt_at(first_failure, attempt)
    return following is not None and following <= at


def next_attempt_at(first_failure: datetime | None, attempt: int) -> datetime | None:
    """When the next attempt is due; None: there is none."""
    if first_failure is None or not 0 < attempt < len(ATTEMPT_DAYS):
        return None
    return first_failure + timedelta(days=ATTEMPT_DAYS[attempt])
