"""From a request's events to the log. Put here: the way every ingest route takes. Keep out: HTTP, the gates themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from api.edge.service import EdgeService
from api.exact_json import decode, told
from domain.access import KeyRecord
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
    sent, events = await _read_all(texts, gates, received_at, complete)
    billed = [e.customer_id for e in events if e.customer_id and e.definition and not e.refusals]
    if key.customer_id:
        billed.append(key.customer_id)
    rights = await known.rights(view, billed)
    limits = service.limits(key, view, door) if door else []
    receipt = await service.append(
        event_log.Request(
            tenant_id=key.tenant_id,
            source=source,
            key_id=key.key_id,
            received_at=received_at,
            events=events,
            texts=texts,
            bumps=[
                view.counting.bumps(event, said, rights.get(event.customer_id or ""))
                for event, said in zip(events, sent, strict=True)
            ],
            limits=limits,
            sessions=sessions_of(sent),
            signed_with=service.signing_key,
            trace_id=None if service.traces is None else service.traces.trace_id(),
        )
    )
    if key.tenant_id in service.live.wanted:
        service.live.tell(key.tenant_id, source, received_at, events, receipt.verdicts)
    failures = tuple(_failures(receipt.verdicts, events))
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
    complete: Callable[[dict[str, Any]], dict[str, Any]] | None,
) -> tuple[list[Any], list[UsageEvent]]:
    """The events as decoded and as read; other requests get their turn in between."""
    sent: list[Any] = []
    events: list[UsageEvent] = []
    for position, text in enumerate(texts):
        if position and position % _AT_ONCE == 0:
            await asyncio.sleep(0)
        decoded, event = _read(text, gates, received_at, position, complete)
        sent.append(decoded)
        events.append(event)
    return sent, events


def sessions_of(sent: Sequence[Any]) -> list[tuple[str, bool]]:
    """The sessions these events name, at the top or in their metadata, and whether they end with them."""
    found: dict[str, bool] = {}
    for event in sent:
        if type(event) is not dict:
            continue
        said: Any = event
        if event.get("sessionId") is None:
            said = event.get("metadata")
            if type(said) is not dict:
                continue
        session = said.get("sessionId")
        if session is not None and isinstance(session, str) and 0 < len(session) <= LONGEST_TEXT:
            found[session] = said.get("sessionBoundary") == "SESSION_END"
    return list(found.items())


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
