"""The nine states of a subscription. Put here: which follow which, and what each means for billing and rights. Keep out: when
a state begins (phases.py), who may ask for it (services)."""

from __future__ import annotations

from enum import StrEnum

from domain.errors import Conflict


class State(StrEnum):
    """Where a subscription stands."""

    CREATED = "CREATED"
    TRIALING = "TRIALING"
    ACTIVE = "ACTIVE"
    PAST_DUE = "PAST_DUE"
    PAUSED = "PAUSED"
    EXPIRING_SOON = "EXPIRING_SOON"
    SUSPENDED = "SUSPENDED"
    EXPIRED = "EXPIRED"
    CANCELLED = "CANCELLED"


LEGAL: dict[State, frozenset[State]] = {
    State.CREATED: frozenset({State.TRIALING, State.ACTIVE, State.CANCELLED}),
    State.TRIALING: frozenset({State.ACTIVE, State.CANCELLED, State.PAUSED}),
    State.ACTIVE: frozenset(
        {State.PAST_DUE, State.PAUSED, State.EXPIRING_SOON, State.EXPIRED, State.CANCELLED, State.SUSPENDED}
    ),
    State.PAST_DUE: frozenset({State.ACTIVE, State.SUSPENDED, State.CANCELLED, State.EXPIRED}),
    State.PAUSED: frozenset({State.ACTIVE, State.CANCELLED, State.EXPIRED}),
    State.EXPIRING_SOON: frozenset({State.ACTIVE, State.EXPIRED, State.CANCELLED}),
    State.SUSPENDED: frozenset({State.ACTIVE, State.CANCELLED, State.EXPIRED}),
    State.EXPIRED: frozenset(),
    State.CANCELLED: frozenset(),
}
"""What may follow each state. Staying in a state is always legal and changes nothing."""

TERMINAL = frozenset({State.EXPIRED, State.CANCELLED})
BILLED = frozenset({State.ACTIVE, State.PAST_DUE, State.EXPIRING_SOON})
FREE = frozenset({State.TRIALING})
"""Metered, and costs nothing."""
GRANTING = BILLED | FREE
"""The customer may use what it subscribed to."""
CHANGEABLE = frozenset({State.ACTIVE, State.TRIALING, State.PAST_DUE, State.EXPIRING_SOON})
"""An upgrade or downgrade is possible; it keeps the state."""
MIGRATABLE = CHANGEABLE | {State.PAUSED}
RETRYABLE = frozenset({State.PAST_DUE, State.SUSPENDED})


class IllegalTransition(Conflict):
    """The state does not follow the one the subscription is in."""

    code = "ILLEGAL_TRANSITION"

    def __init__(self, subscription: str, state: State, wanted: str, possible: frozenset[State]) -> None:
        choice = ", ".join(sorted(possible)) or "nothing: it has ended"
        super().__init__(f"subscription {subscription!r} is {state}, so {wanted}; possible: {choice}")


def is_legal(state: State, following: State) -> bool:
    """Whether `following` may come after `state`, or is the same."""
    return state == following or following in LEGAL[state]


def require_legal(subscription: str, state: State, following: State) -> None:
    """Raises IllegalTransition."""
    if not is_legal(state, following):
        raise IllegalTransition(subscription, state, f"it cannot become {following}", LEGAL[state])


def require_one_of(subscription: str, state: State, allowed: frozenset[State], what: str) -> None:
    """Raises IllegalTransition. what: what was asked for, such as `an upgrade`."""
    if state not in allowed:
        names = ", ".join(sorted(allowed))
        raise IllegalTransition(
            subscription, state, f"{what} is not possible (only when {names})", LEGAL[state]
        )
