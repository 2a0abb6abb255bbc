"""A subscription's history. Put here: phases, those still to come by themselves, and the stretches billing sees. Keep out:
clocks, storage, prices.

A phase says from when on a state, an offering and a plan version hold, until the next phase. Recorded phases never change. What
will happen without anybody asking (the start, the end of a trial, a change or a cancellation agreed for later, the end) follows
from the agreement alone; so billing and rights are right even before a schedule has recorded it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from domain.subscription_states import BILLED, FREE, GRANTING, MIGRATABLE, TERMINAL, State

SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Phase:
    """From `starts_at` on, this state, offering and plan version; the next phase ends it."""

    state: State
    offering: str
    plan: str
    version: int
    starts_at: datetime
    reason: str
    actor: str = SYSTEM


@dataclass(frozen=True, slots=True)
class PlannedChange:
    """A change of offering agreed for later, at a plan version fixed when it was agreed."""

    at: datetime
    offering: str
    plan: str
    version: int
    reason: str


@dataclass(frozen=True, slots=True)
class Agreement:
    """What happens by itself. ends_at: the agreed end; cancel_at: a cancellation agreed for later."""

    starts_at: datetime
    ends_at: datetime | None = None
    trial_ends_at: datetime | None = None
    auto_convert: bool = True
    cancel_at: datetime | None = None
    cancel_reason: str | None = None
    change: PlannedChange | None = None


@dataclass(frozen=True, slots=True)
class Stretch:
    """Time in which offering and plan version are the same and usage costs (`free` False) or is on trial (`free` True)."""

    offering: str
    plan: str
    version: int
    free: bool
    starts_at: datetime
    ends_at: datetime | None


def to_come(recorded: Sequence[Phase], agreement: Agreement) -> Iterator[Phase]:
    """The phases that follow the recorded ones by themselves, in order of time; none after a terminal one."""
    phase = recorded[-1]
    change = agreement.change
    while (following := _next(phase, replace(agreement, change=change))) is not None:
        if change is not None and following.offering != phase.offering:
            change = None
        phase = following
        yield phase


def beginning(
    agreement: Agreement, *, offering: str, plan: str, version: int, at: datetime, actor: str
) -> list[Phase]:
    """The first phases of a subscription agreed at `at`: CREATED if it starts later, else all it has been through since."""
    created = Phase(State.CREATED, offering, plan, version, min(at, agreement.starts_at), "agreed", actor)
    if agreement.starts_at > at:
        return [created]
    began, *since = (phase for phase in to_come([created], agreement) if phase.starts_at <= at)
    return [replace(began, actor=actor), *since]


def timeline(recorded: Sequence[Phase], agreement: Agreement) -> list[Phase]:
    """Recorded phases and those to come."""
    return [*recorded, *to_come(recorded, agreement)]


def stretches(phases: Sequence[Phase]) -> list[Stretch]:
    """What billing sees of phases: touching ones that cost alike are one stretch; time without right to use is left out."""
    found: list[Stretch] = []
    for at, phase in enumerate(phases):
        ends_at = phases[at + 1].starts_at if at + 1 < len(phases) else None
        if phase.state not in BILLED | FREE or phase.starts_at == ends_at:
            continue
        stretch = Stretch(
            phase.offering, phase.plan, phase.version, phase.state in FREE, phase.starts_at, ends_at
        )
        last = found[-1] if found else None
        if last is not None and last == replace(stretch, starts_at=last.starts_at, ends_at=stretch.starts_at):
            found[-1] = replace(last, ends_at=ends_at)
        else:
            found.append(stretch)
    return found


def granted(phases: Sequence[Phase], as_of: datetime) -> tuple[Phase, datetime | None] | None:
    """The phase that grants rights at the instant, and when the rights to its offering end (None: not foreseen)."""
    current = [at for at, phase in enumerate(phases) if phase.starts_at <= as_of]
    if not current or phases[current[-1]].state not in GRANTING:
        return None
    phase = phases[current[-1]]
    for later in phases[current[-1] + 1 :]:
        if later.state not in GRANTING or later.offering != phase.offering or later.plan != phase.plan:
            return phase, later.starts_at
    return phase, None


def ended_at(phases: Sequence[Phase]) -> datetime | None:
    """When it ended or will end as far as is known; None: it goes on."""
    last = phases[-1]
    return last.starts_at if last.state in TERMINAL else None


def _next(phase: Phase, agreement: Agreement) -> Phase | None:
    """The next phase by itself. At one instant, ending comes before anything else, and a trial's end before a change."""
    if phase.state in TERMINAL:
        return None
    due = [*_endings(phase, agreement), *_beginnings(phase, agreement), *_change(phase, agreement)]
    if not due:
        return None
    first = min(due, key=lambda each: each.starts_at)
    return replace(first, starts_at=max(first.starts_at, phase.starts_at))


def _endings(phase: Phase, agreement: Agreement) -> Iterator[Phase]:
    if agreement.cancel_at is not None:
        reason = agreement.cancel_reason or "cancelled"
        yield replace(
            phase, state=State.CANCELLED, starts_at=agreement.cancel_at, reason=reason, actor=SYSTEM
        )
    if agreement.ends_at is not None:
        never_paid = phase.state in (State.CREATED, State.TRIALING)
        state = State.CANCELLED if never_paid else State.EXPIRED
        yield replace(
            phase, state=state, starts_at=agreement.ends_at, reason="its end has come", actor=SYSTEM
        )


def _beginnings(phase: Phase, agreement: Agreement) -> Iterator[Phase]:
    trial_end = agreement.trial_ends_at
    if phase.state is State.CREATED:
        on_trial = trial_end is not None and trial_end > agreement.starts_at
        state = State.TRIALING if on_trial else State.ACTIVE
        yield replace(phase, state=state, starts_at=agreement.starts_at, reason="started", actor=SYSTEM)
    elif phase.state is State.TRIALING and trial_end is not None:
        state, reason = (
            (State.ACTIVE, "the trial converted")
            if agreement.auto_convert
            else (State.PAUSED, "the trial ended without conversion")
        )
        yield replace(phase, state=state, starts_at=trial_end, reason=reason, actor=SYSTEM)


def _change(phase: Phase, agreement: Agreement) -> Iterator[Phase]:
    change = agreement.change
    if change is not None and phase.state in MIGRATABLE and change.offering != phase.offering:
        yield replace(
            phase,
            offering=change.offering,
            plan=change.plan,
            version=change.version,
            starts_at=change.at,
            reason=change.reason,
            actor=SYSTEM,
        )
