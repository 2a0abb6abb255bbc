"""Voiding and amending single events. Put here: which acts are allowed, recording them, sending them into the event log. Keep out:
what they do to a bill (transforms.in_force), HTTP.

An act is recorded first, with its audit entry, in one transaction; then it goes into the log, under a key of its own, so that
sending it twice counts once. What could not be sent is sent by the next ingest. The original stays where it is.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec
from redis import Redis
from sqlalchemy import Engine, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from domain.access import UnitRecord
from domain.catalog.fields import Fields
from domain.counters import Bump, bumps
from domain.errors import Conflict
from domain.event_correction import (
    AMEND,
    VOID,
    Stored,
    amended,
    read_amendment,
    read_void,
    undone,
    void_of,
)
from domain.instant import iso, micros
from domain.quantity import plain
from domain.usage import Act, UsageEvent, key_digest
from storage import event_log, hot_state
from storage.database import session_scope
from storage.event_macs import signing_key_here
from storage.events_found import EventNotFound, acts_upon, arrivals, payload_of
from storage.lake import Lake
from storage.repositories.rights import unit_records
from storage.tables.corrections import EventActRow
from storage.tenancy import Tx

_TEXT = msgspec.json.Encoder(decimal_format="number")


class EventNotAccepted(Conflict):
    """The event was never counted, so there is nothing to take back."""

    code = "EVENT_NOT_ACCEPTED"

    def __init__(self, key: str, why: str) -> None:
        super().__init__(
            f"event {key!r} was quarantined ({why}) and never counted; there is nothing to correct"
        )


class AlreadyCorrected(Conflict):
    """Each event is corrected once."""

    code = "EVENT_ALREADY_CORRECTED"

    def __init__(self, key: str, latest: EventActRow) -> None:
        if latest.kind == VOID:
            rest = "is void; send the usage anew, under another key, if it counts after all"
        else:
            rest = f"was amended; what counts now has the key {latest.act_key!r}: correct that"
        super().__init__(f"event {key!r} {rest}")


class VoidIsFinal(Conflict):
    """A void is not undone."""

    code = "VOID_IS_FINAL"

    def __init__(self, key: str) -> None:
        super().__init__(
            f"{key!r} is what voided an event; send the usage anew, under another key, if it counts after all"
        )


class EventCorrections:
    """One tenant's acts upon its events. redis: the hot state; None: there is no edge, so that no counter moves."""

    def __init__(self, tx: Tx, lake: Lake, redis: Redis | None) -> None:
        self._tx = tx
        self._lake = lake
        self._redis = redis

    def void(self, key: str, sent: Mapping[str, Any]) -> EventActRow:
        """The event counts no more. Raises FieldProblem, EventNotFound, EventNotAccepted, AlreadyCorrected, VoidIsFinal."""
        reason = read_void(Fields(sent, ""))
        stored, id_ = self._stored(key), _new_id()
        event = void_of(stored, f"void:{id_}", reason)
        said = {"act": VOID, "corrects": key, "reason": reason, "by": self._tx.actor.id}
        changes = {"quantity": {"before": plain(stored.quantity), "after": None}}
        return self._record(id_, stored, event, said, changes, reason)

    def amend(self, key: str, sent: Mapping[str, Any]) -> EventActRow:
        """The event counts as it should have been. Raises as `void`, and CatalogRefused with what the gates object to."""
        asked = read_amendment(Fields(sent, ""))
        stored, id_ = self._stored(key), _new_id()
        units = self._units()
        event, says = amended(stored, asked, f"amend:{id_}", units, micros(self._tx.at))
        return self._record(id_, stored, event, says, _changes(stored, event, says), asked.reason)

    def _units(self) -> dict[str, UnitRecord]:
        if self._redis is not None:
            return hot_state.read_units(self._redis, self._tx.tenant_id)
        found = unit_records(self._tx.session, self._tx.tenant_id)
        return {name.lower(): unit for unit in found for name in (unit.name, unit.key)}

    def _stored(self, key: str) -> Stored:
        tenant = self._tx.tenant_id
        found = arrivals(self._lake, tenant, key)
        chain = acts_upon(self._tx.session, tenant, key)
        if any(act.event_key == key for act in chain):
            raise AlreadyCorrected(key, chain[-1])
        row = found.accepted
        if row is None and found.rows:
            raise EventNotAccepted(key, found.rows[0]["outcome"])
        if row is None:
            raise EventNotFound(key)
        if row["act"] == VOID:
            raise VoidIsFinal(key)
        own = next((act for act in chain if act.act_key == key), None)
        return Stored(
            tenant_id=tenant,
            idempotency_key=key,
            customer_id=row["customer_id"],
            unit=row["unit"],
            quantity=row["quantity"],
            occurred_at=micros(row["occurred_at"]),
            origin_key=own.origin_key if own else key,
            origin_received_at=micros(row["origin_received_at"] or row["received_at"]),
            sent=payload_of(row),
        )

    def _record(
        self,
        id_: str,
        stored: Stored,
        event: UsageEvent,
        says: Mapping[str, Any],
        changes: dict[str, Any],
        reason: str,
    ) -> EventActRow:
        assert event.act is not None
        row = EventActRow(
            tenant_id=self._tx.tenant_id,
            id=id_,
            kind=event.act.kind,
            event_key=stored.idempotency_key,
            origin_key=stored.origin_key,
            act_key=event.idempotency_key,
            customer_id=stored.customer_id,
            unit=stored.unit,
            reason=reason,
            changes=changes,
            request=_request(event, _TEXT.encode(says).decode(), self._moves(stored, event, says)),
            created_by=self._tx.actor.id,
            created_at=self._tx.at,
        )
        try:
            with self._tx.session.begin_nested():
                self._tx.session.add(row)
        except IntegrityError:
            raise AlreadyCorrected(stored.idempotency_key, self._latest(stored.idempotency_key)) from None
        action = "EVENT_VOIDED" if row.kind == VOID else "EVENT_AMENDED"
        self._tx.record(
            action, "event", row.event_key, {**changes, "actId": {"before": None, "after": id_}}, reason
        )
        return row

    def _latest(self, key: str) -> EventActRow:
        return acts_upon(self._tx.session, self._tx.tenant_id, key)[-1]

    def _moves(self, stored: Stored, event: UsageEvent, says: Mapping[str, Any]) -> list[Bump]:
        """What the edge's counters move by: what the event added is taken back, and what the amendment says is added."""
        if self._redis is None:
            return []
        rights = hot_state.read_rights(self._redis, stored.tenant_id, stored.customer_id)
        unit = self._units().get(stored.unit.lower())
        was = UsageEvent(
            customer_id=stored.customer_id,
            unit=stored.unit,
            quantity=stored.quantity,
            occurred_at=stored.occurred_at,
            definition=unit,
        )
        back = undone(bumps(was, stored.sent, rights))
        return back + (bumps(event, says, rights) if event.act and event.act.kind == AMEND else [])


def send_waiting(engine: Engine | str, redis: Redis, tenant_id: str | None = None) -> int:
    """Put the acts that are recorded and not yet sent into the event log, of one tenant or all; how many. Repeating it, also at the
    same time, sends nothing twice; after a crash in between, the key of the act makes the second one a duplicate."""
    sent = 0
    while True:
        with session_scope(engine) as session:
            row = _next_waiting(session, tenant_id)
            if row is None:
                return sent
            _send(redis, row)
            row.sent_at = func.now()
        sent += 1


def count_waiting(session: Session) -> int:
    """How many acts wait to be sent."""
    return (
        session.scalar(select(func.count()).select_from(EventActRow).where(EventActRow.sent_at.is_(None)))
        or 0
    )


def _next_waiting(session: Session, tenant_id: str | None) -> EventActRow | None:
    query = select(EventActRow).where(EventActRow.sent_at.is_(None)).order_by(EventActRow.created_at)
    if tenant_id is not None:
        query = query.where(EventActRow.tenant_id == tenant_id)
    return session.scalar(query.limit(1).with_for_update(skip_locked=True))


def request_of(row: EventActRow) -> event_log.Request:
    """The act as it goes into the event log."""
    told = row.request
    event = UsageEvent(
        customer_id=row.customer_id,
        unit=row.unit,
        quantity=Decimal(told["quantity"]),
        occurred_at=told["occurredAt"],
        idempotency_key=row.act_key,
        digest=key_digest(row.tenant_id, row.act_key),
        payload_hash=told["payloadHash"],
        correction=told["correction"],
        backfill=told["backfill"],
        act=Act(row.kind, row.event_key, told["originReceivedAt"]),
    )
    moves = [Bump(customer, field, operation, amount) for customer, field, operation, amount in told["bumps"]]
    source, received_at = f"operator:{row.id}", micros(row.created_at)
    return event_log.Request(
        row.tenant_id,
        source,
        row.created_by,
        received_at,
        [event],
        [told["text"]],
        [moves],
        signed_with=signing_key_here(),
    )


def _send(redis: Redis, row: EventActRow) -> None:
    event_log.announce(redis, row.tenant_id)
    wait = event_log.assert_durable(redis)
    event_log.append(redis, request_of(row), wait=wait)


def _request(event: UsageEvent, text: str, moves: list[Bump]) -> dict[str, Any]:
    assert event.act is not None and event.quantity is not None
    return {
        "quantity": plain(event.quantity),
        "occurredAt": event.occurred_at,
        "payloadHash": event.payload_hash,
        "correction": event.correction,
        "backfill": event.backfill,
        "originReceivedAt": event.act.origin_received_at,
        "bumps": [list(move) for move in moves],
        "text": text,
    }


def _changes(stored: Stored, event: UsageEvent, says: Mapping[str, Any]) -> dict[str, Any]:
    """What the amendment changes, field by field; empty where it says the same again."""
    assert event.quantity is not None and event.occurred_at is not None
    pairs = {
        "quantity": (plain(stored.quantity), plain(event.quantity)),
        "occurredAt": (iso(stored.occurred_at), iso(event.occurred_at)),
        "properties": (stored.sent.get("properties"), says.get("properties")),
        "metadata": (stored.sent.get("metadata"), says.get("metadata")),
    }
    changed = {name: {"before": was, "after": now} for name, (was, now) in pairs.items() if was != now}
    return dict(msgspec.json.decode(msgspec.json.encode(changed)))


def _new_id() -> str:
    return f"act_{secrets.token_hex(8)}"
