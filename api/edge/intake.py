"""From a request's events to the log. Put here: the way every ingest route takes. Keep out: HTTP, the gates themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from api.edge.known import TenantView
from api.edge.service import EdgeService
from api.exact_json import decode, told
from domain.access import CustomerRights, KeyRecord
from domain.counters import Bump, Counting
from domain.limits import Counted, Limit
from domain.usage import (
    IDEMPOTENCY_CONFLICT,
    LONGEST_TEXT,
    SCHEMA_INVALID,
    Door,
    Refusal,
    UsageEvent,
    read_event,
)
from storage import event_log

_AT_ONCE = 100
"""Events read before other requests get their turn; about a millisecond."""

_CONFLICT = Refusal(
    IDEMPOTENCY_CONFLICT,
    "idempotencyKey",
    "idempotencyKey: was used before for an event with other content; the first one stands. Send a new key.",
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of each event, in order: verdict (A, D, C, X) and why it failed. refused: a hard limit did, and nothing was
    kept. killed: those of its sessions that are to be stopped. spooled: kept by the edge itself, the log follows."""

    verdicts: str
    failures: tuple[tuple[int, Sequence[Refusal]], ...]
    killed: tuple[str, ...] = ()
    limits: Sequence[tuple[str, Limit]] = ()
    counted: Sequence[Counted] = ()
    refused: bool = False
    spooled: bool = False

    @property
    def accepted(self) -> int:
        return self.verdicts.count(event_log.ACCEPTED)

    @property
    def duplicates(self) -> int:
        return self.verdicts.count(event_log.DUPLICATE)

    def body(self, origins: Sequence[int] | None = None) -> dict[str, Any]:
        """The answer of the ingest routes; its keys are at top level because clients read them there.

        origins: the place in the request of what each event was made from, where that is not its own."""
        body: dict[str, Any] = {
            "accepted": self.accepted,
            "duplicates": self.duplicates,
            "failed": len(self.failures),
            "errors": [
                {
                    "index": index if origins is None else origins[index],
                    "error": refusals[0].detail,
                    "code": refusals[0].code,
                }
                for index, refusals in self.failures
            ],
        }
        if self.killed:
            body["killedSessionIds"] = list(self.killed)
        if self.spooled:
            body["spooled"] = True
        return body


class _AllRead:
    """A request's events as read, the counters they move, the sessions they name and whether those end. strangers: customers whose
    rights have to be asked for first."""

    def __init__(self) -> None:
        self.events: list[UsageEvent] = []
        self.bumps: list[Sequence[Bump]] = []
        self.sessions: dict[str, bool] = {}
        self.strangers: set[str] = set()
        self._uncounted: list[tuple[int, Any]] = []

    def add(self, sent: Any, event: UsageEvent, view: TenantView) -> None:
        """The next event."""
        customer = event.customer_id or ""
        moved: Sequence[Bump] = ()
        _session(sent, self.sessions)
        if customer in view.rights:
            moved = view.counting.bumps(event, sent, view.rights[customer])
        elif customer and event.definition is not None and not event.refusals:
            self.strangers.add(customer)
            self._uncounted.append((len(self.events), sent))
        self.events.append(event)
        self.bumps.append(moved)

    def count(self, counting: Counting, rights: Mapping[str, CustomerRights | None]) -> None:
        """What events of strangers move."""
        for position, sent in self._uncounted:
            event = self.events[position]
            self.bumps[position] = counting.bumps(event, sent, rights.get(event.customer_id or ""))


async def take_in(
    service: EdgeService,
    key: KeyRecord,
    source: str,
    texts: Sequence[str],
    *,
    complete: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    door: str | None = None,
    received_at: int | None = None,
) -> Outcome:
    """Every event of a request through the gates and into the log, refused ones too; returns when that is on disk.

    texts: each event as sent. complete: what a route takes for granted in its events, such as a quantity of 1. door: whose
    limits the request counts in, None: nobody's. received_at: where that was before now.
    """
    if not texts:
        return Outcome("", ())
    received_at = received_at or service.stamp()
    known = service.spooling or service.known
    view = await known.tenant(key.tenant_id)
    gates = Door(key.tenant_id, view.units, key.customer_id, salt=service.salt, written=told)
    read = await _read_all(texts, gates, received_at, view, complete)
    unknown = read.strangers if key.customer_id is None else {*read.strangers, key.customer_id}
    if unknown:
        read.count(view.counting, await known.rights(view, unknown))
    limits = service.limits(key, view, door) if door else []
    receipt = await service.append(
        event_log.Request(
            tenant_id=key.tenant_id,
            source=source,
            key_id=key.key_id,
            received_at=received_at,
            events=read.events,
            texts=texts,
            bumps=read.bumps,
            limits=limits,
            sessions=list(read.sessions.items()),
            signed_with=service.signing_key,
            trace_id=None if service.traces is None else service.traces.trace_id(),
        )
    )
    if key.tenant_id in service.live.wanted:
        service.live.tell(key.tenant_id, source, received_at, read.events, receipt.verdicts)
    failures = tuple(_failures(receipt.verdicts, read.events))
    service.meters.take(source, receipt.verdicts, [refusals[0].code for _, refusals in failures])
    return Outcome(
        receipt.verdicts,
        failures,
        receipt.killed,
        limits,
        receipt.limits,
        refused=not receipt.verdicts,
        spooled=receipt.spooled,
    )


async def _read_all(
    texts: Sequence[str],
    gates: Door,
    received_at: int,
    view: TenantView,
    complete: Callable[[dict[str, Any]], dict[str, Any]] | None,
) -> _AllRead:
    """The events as read; other requests get their turn in between. What was sent is let go of as soon as it is counted."""
    read = _AllRead()
    for position, text in enumerate(texts):
        if position and position % _AT_ONCE == 0:
            await asyncio.sleep(0)
        sent, event = _read(text, gates, received_at, position, complete)
        read.add(sent, event, view)
    return read


def _session(sent: Any, found: dict[str, bool]) -> None:
    """Note the session an event names, at the top or in its metadata, and whether it ends with it."""
    if type(sent) is not dict:
        return
    said: Any = sent
    if sent.get("sessionId") is None:
        said = sent.get("metadata")
        if type(said) is not dict:
            return
    session = said.get("sessionId")
    if session is not None and isinstance(session, str) and 0 < len(session) <= LONGEST_TEXT:
        found[session] = said.get("sessionBoundary") == "SESSION_END"


def _read(
    text: str,
    door: Door,
    received_at: int,
    position: int,
    complete: Callable[[dict[str, Any]], dict[str, Any]] | None,
) -> tuple[Any, UsageEvent]:
    try:
        decoded = decode(text)
    except (ValueError, RecursionError) as error:
        event = UsageEvent()
        event.refuse(SCHEMA_INVALID, "event", f"is not valid JSON: {error}")
        return {}, event
    if complete is not None and isinstance(decoded, dict):
        decoded = complete(decoded)
    return decoded, read_event(decoded, door, received_at=received_at, position=position)


def _failures(verdicts: str, events: Sequence[UsageEvent]) -> list[tuple[int, Sequence[Refusal]]]:
    failures: list[tuple[int, Sequence[Refusal]]] = []
    if event_log.REJECTED not in verdicts and event_log.CONFLICT not in verdicts:
        return failures
    for index, verdict in enumerate(verdicts):
        if verdict == event_log.REJECTED:
            failures.append((index, events[index].refusals))
        elif verdict == event_log.CONFLICT:
            failures.append((index, [_CONFLICT]))
    return failures
