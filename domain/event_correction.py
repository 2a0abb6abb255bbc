"""Voiding and amending one event. Put here: reading what is asked for, and the event that carries it. Keep out: finding the event,
who may do it, what it does to a bill (transforms.in_force).

An amendment says the whole event again, with what was wrong put right; its customer and unit stay. It passes the door's gates like
any event, but for its age: an operator's act may concern the distant past.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from hashlib import blake2b
from typing import Any

from domain.access import UnitRecord
from domain.catalog.fields import CatalogRefused, FieldProblem, Fields, shown
from domain.counters import ADD, Bump
from domain.instant import NotAnInstant, iso, to_micros_since_epoch
from domain.quantity import NotAQuantity, to_quantity
from domain.usage import (
    CUSTOMER_NAMES,
    KEY_NAMES,
    QUANTITY_NAMES,
    TIME_NAMES,
    UNIT_NAMES,
    Act,
    Door,
    UsageEvent,
    key_digest,
    read_event,
)

VOID, AMEND = "VOID", "AMEND"


@dataclass(frozen=True, slots=True)
class Amendment:
    """What an event should have said; None: as it did. occurred_at: epoch microseconds."""

    reason: str
    quantity: Decimal | None
    occurred_at: int | None
    properties: Mapping[str, Any] | None
    metadata: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Stored:
    """An accepted event as it stands. sent: its payload, decoded. origin_*: of the event it goes back to, itself if it was never
    amended. Times in epoch microseconds."""

    tenant_id: str
    idempotency_key: str
    customer_id: str
    unit: str
    quantity: Decimal
    occurred_at: int
    origin_key: str
    origin_received_at: int
    sent: Mapping[str, Any]


def read_void(fields: Fields) -> str:
    """The reason. Raises FieldProblem."""
    reason = fields.text("reason")
    fields.done()
    return reason


def read_amendment(fields: Fields) -> Amendment:
    """Raises FieldProblem."""
    for fixed in ("customerId", "metricName"):
        if fields.has(fixed):
            raise FieldProblem(fields.at(fixed), "stays as it is; void the event and send it anew instead")
    asked = Amendment(
        reason=fields.text("reason"),
        quantity=_quantity(fields),
        occurred_at=_instant(fields),
        properties=_object(fields, "properties"),
        metadata=_object(fields, "metadata"),
    )
    fields.done()
    if asked == replace(asked, quantity=None, occurred_at=None, properties=None, metadata=None):
        raise FieldProblem(fields.at("quantity"), "is missing; send what the event should have said")
    return asked


def void_of(stored: Stored, act_key: str, reason: str) -> UsageEvent:
    """The event that voids another: of no quantity, at its time."""
    digest = key_digest(stored.tenant_id, act_key)
    said = blake2b(f"{VOID}\0{stored.idempotency_key}\0{act_key}".encode(), digest_size=8).digest()
    return UsageEvent(
        customer_id=stored.customer_id,
        unit=stored.unit,
        quantity=Decimal(0),
        occurred_at=stored.occurred_at,
        idempotency_key=act_key,
        digest=digest,
        payload_hash=int.from_bytes(said, "big", signed=True),
        backfill=f"void: {reason}",
        act=Act(VOID, stored.idempotency_key, stored.origin_received_at),
    )


def amended(
    stored: Stored, asked: Amendment, act_key: str, units: Mapping[str, UnitRecord], received_at: int
) -> tuple[UsageEvent, dict[str, Any]]:
    """The event that amends another, and what it says. Raises CatalogRefused with what the gates object to."""
    sent = dict(stored.sent)
    _say(sent, CUSTOMER_NAMES, stored.customer_id)
    _say(sent, UNIT_NAMES, stored.unit)
    _say(sent, QUANTITY_NAMES, stored.quantity if asked.quantity is None else asked.quantity)
    _say(sent, TIME_NAMES, iso(stored.occurred_at if asked.occurred_at is None else asked.occurred_at))
    _say(sent, KEY_NAMES, act_key)
    for name, value in (("properties", asked.properties), ("metadata", asked.metadata)):
        if value is not None:
            sent[name] = dict(value)
    door = Door(stored.tenant_id, units, backfill=f"amend: {asked.reason}")
    event = read_event(sent, door, received_at=received_at)
    if event.refusals:
        raise CatalogRefused([_as_problem(each.field, each.detail) for each in event.refusals])
    event.backfill = door.backfill
    event.act = Act(AMEND, stored.idempotency_key, stored.origin_received_at)
    return event, sent


def undone(bumps: list[Bump]) -> list[Bump]:
    """The movements that take back what an event added. Maxima and distinct values know no way back: the lake has them right."""
    return [
        bump._replace(amount=-bump.amount)
        for bump in bumps
        if bump.operation == ADD and isinstance(bump.amount, int)
    ]


def _say(sent: dict[str, Any], names: tuple[str, ...], value: object) -> None:
    """Put a value where the event has it, under whichever of these names; the first of them if it has it nowhere."""
    found = next((name for name in names if sent.get(name) is not None), names[0])
    sent[found] = value


def _as_problem(field: str, detail: str) -> FieldProblem:
    return FieldProblem(field, detail.removeprefix(f"{field}: "))


def _quantity(fields: Fields) -> Decimal | None:
    name, value = fields.raw(*QUANTITY_NAMES)
    if value is None:
        return None
    try:
        return to_quantity(value)
    except NotAQuantity as error:
        raise FieldProblem(fields.at(name), f"{shown(value)} {error}") from None


def _instant(fields: Fields) -> int | None:
    name, value = fields.raw(*TIME_NAMES)
    if value is None:
        return None
    try:
        return to_micros_since_epoch(value)
    except NotAnInstant as error:
        raise FieldProblem(fields.at(name), f"{shown(value)} {error}") from None


def _object(fields: Fields, name: str) -> Mapping[str, Any] | None:
    _, value = fields.raw(name)
    if value is not None and not isinstance(value, Mapping):
        raise FieldProblem(fields.at(name), f"{shown(value)} is not an object; write fields and values")
    return value
