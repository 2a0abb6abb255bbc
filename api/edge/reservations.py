"""Reservations: a quantity held back from a quota until its use is metered or given up, so that agents at work at once do not
spend the same remainder. Put here: the routes. Keep out: how holds are kept (storage/scripts/hold.lua), the decision.

A commit is an event like any other, with a key made from the reservation: repeated, it counts once; too late, it counts still.
"""

from __future__ import annotations

import re
import secrets
from decimal import Decimal
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response

from api.edge.access import TENANT_NAMES, customer_of, first, to_json, wrong
from api.edge.asking import Asked, Caller
from api.edge.auth import authenticate, require_tenant
from api.edge.bodies import decode_object, read_body
from api.edge.ingest import raise_if_failed
from api.edge.intake import take_in
from api.edge.service import EdgeService
from api.exact_json import encode
from api.problems import Problem
from domain import limits
from domain.access import METER, KeyRecord, UnitRecord
from domain.counters import ADD, OPERATIONS
from domain.entitlement import INSUFFICIENT_BALANCE, Decision, Grant, decide_one
from domain.instant import SECOND, iso
from domain.quantity import MICRO, NotAQuantity, plain, to_micros, to_quantity
from domain.usage import CUSTOMER_NAMES, KEY_NAMES, TIME_NAMES, UNIT_NAMES
from storage import access_state

HELD, COMMITTED, RELEASED, EXPIRED = "HELD", "COMMITTED", "RELEASED", "EXPIRED"
_KEEP_SECONDS = 86_400
_SECONDS, _MOST_SECONDS = 60, 3_600
_BODY_LIMIT = 64 * 1024
_ID = re.compile(r"[A-Za-z0-9._:\-]{1,128}")
_REFUSED_BY = {INSUFFICIENT_BALANCE: 402, "QUOTA_EXCEEDED": 429, "MARGIN_BLOCKED": 429}
_FIELDS = ("customerId", "metricName", "quantity", "ttlSeconds", "reservationId")
_REQUEST = {"type": "object", "properties": {name: {"type": ["string", "number"]} for name in _FIELDS}}
_ANY = {"type": "object", "description": "quantity, occurredAt, metadata, …"}


class Reservation(msgspec.Struct):
    """quantity: exact text. field, amount: the counter it holds from, and how much, in millionths. ends_at: epoch microseconds."""

    id: str
    customer_id: str
    unit: str
    quantity: str
    field: str
    amount: int
    ends_at: int
    status: str = HELD
    committed: str | None = None


_decode = msgspec.json.Decoder(Reservation).decode


def add_reservation_routes(app: FastAPI, service: EdgeService) -> None:
    """POST /v1/reservations, GET …/{reservationId}, POST …/commit and …/release."""
    path = "/v1/reservations"
    body = {"required": True, "content": {"application/json": {"schema": _REQUEST}}}
    event = {"content": {"application/json": {"schema": _ANY}}}

    @app.post(
        path, tags=["access"], status_code=201, response_model=None, openapi_extra={"requestBody": body}
    )
    async def reserve(request: Request) -> Response:
        """Hold a quantity back from the customer's quota for `ttlSeconds` (60, at most 3,600). 429 if less is left. With a
        `reservationId` of your own, asking again gives the same reservation."""
        key = await authenticate(service, request, METER)
        sent = decode_object(await read_body(request, _BODY_LIMIT, service.body_patience))
        return await _reserve(Caller(service, request, key, False, limits.ACCESS), sent)

    @app.get(f"{path}/{{reservationId}}", tags=["access"], response_model=None)
    async def show(reservationId: str, request: Request) -> Response:
        """HELD, COMMITTED, RELEASED or EXPIRED."""
        key = await authenticate(service, request, METER)
        return to_json(_shown(await _kept(service, key, reservationId), service.stamp()))

    @app.post(
        f"{path}/{{reservationId}}/commit",
        tags=["access"],
        status_code=202,
        response_model=None,
        openapi_extra={"requestBody": event},
    )
    async def commit(reservationId: str, request: Request) -> Response:
        """Meter what was used, by default what was reserved; more and less are fine. What was held and not used is free again."""
        key = await authenticate(service, request, METER)
        raw = await read_body(request, _BODY_LIMIT, service.body_patience)
        return await _commit(service, key, reservationId, decode_object(raw) if raw.strip() else {})

    @app.post(f"{path}/{{reservationId}}/release", tags=["access"], response_model=None)
    async def release(reservationId: str, request: Request) -> Response:
        """Give it up: nothing is metered. Doing it again changes nothing."""
        key = await authenticate(service, request, METER)
        held = await _kept(service, key, reservationId)
        if held.status == COMMITTED:
            raise Problem(
                409, f"{held.id} was committed and cannot be released.", code="RESERVATION_COMMITTED"
            )
        held.status = RELEASED
        await _let_go(service, key, held)
        return to_json(_shown(held, service.stamp()))


async def _reserve(caller: Caller, sent: dict[str, Any]) -> Response:
    service, key = caller.service, caller.key
    require_tenant(key, first(sent, TENANT_NAMES), "tenantId")
    wanted = first(sent, ("featureKey", *UNIT_NAMES))
    if wanted is None:
        raise wrong("metricName", "is missing; send the key or the name of a billable unit")
    quantity, seconds, reservation_id = _quantity(sent), _seconds(sent), _own_id(sent)
    [asked] = await caller.ask([(customer_of(key, first(sent, CUSTOMER_NAMES)), wanted)])
    decision = asked.decision()
    if not decision.allowed:
        raise _refused(decision)
    grant, unit = await _reservable(caller, asked, wanted)
    assert grant.counter is not None
    now = service.stamp()
    made = Reservation(
        reservation_id, asked.customer, unit.key, plain(quantity), grant.counter,
        MICRO if unit.aggregation == "COUNT" else to_micros(quantity), now + seconds * SECOND,
    )  # fmt: skip
    limit = grant.feature.limit if grant.feature.hard else None
    quota = None if limit is None else to_micros(Decimal(limit))
    held = await access_state.hold(
        service.redis, key.tenant_id, asked.customer, made.field, made.id, amount=made.amount, quota=quota,
        seconds=seconds, record=encode(made), keep=_KEEP_SECONDS,
    )  # fmt: skip
    service.nearby.forget(key.tenant_id, (asked.customer,))
    if held.before is not None:
        return _as_before(_decode(held.before), made, now)
    if held.is_full:
        raise Problem(
            429,
            "This customer has 10,000 reservations at once; commit or release some.",
            code="TOO_MANY_RESERVATIONS",
        )
    if not held.made:
        raise _refused(decision, left=None if quota is None else Decimal(quota - held.used - held.held))
    left = None if quota is None else Decimal(plain(Decimal(quota - held.used - held.held).scaleb(-6)))
    answer = to_json(_shown(made, now) | {"remaining": left})
    answer.status_code = 201
    return answer


def _as_before(before: Reservation, made: Reservation, now: int) -> Response:
    if (before.customer_id, before.unit, before.amount) != (made.customer_id, made.unit, made.amount):
        raise Problem(409, f"reservationId: {made.id!r} is another reservation's.", code="RESERVATION_EXISTS")
    return to_json(_shown(before, now))


async def _reservable(caller: Caller, asked: Asked, wanted: str) -> tuple[Grant, UnitRecord]:
    """The grant with most left whose use is counted one by one, and its unit."""
    view = await caller.service.known.tenant(caller.key.tenant_id)
    fitting = [
        (grant, unit)
        for grant in asked.grants
        if grant.counter is not None
        and grant.feature.unit is not None
        and (unit := view.units.get(grant.feature.unit.lower())) is not None
        and OPERATIONS.get(unit.aggregation) == ADD
    ]
    if not fitting:
        raise Problem(
            422, f"{wanted} cannot be reserved: only what is counted or summed has a remainder to hold.",
            code="NOT_RESERVABLE",
        )  # fmt: skip
    found = asked.found

    def left(grant: Grant) -> tuple[bool, Decimal]:
        decision = decide_one(grant, found.counted, found.held)
        return decision.quota is None, decision.remaining or Decimal(0)

    return max(fitting, key=lambda pair: left(pair[0]))


async def _commit(
    service: EdgeService, key: KeyRecord, reservation_id: str, sent: dict[str, Any]
) -> Response:
    held = await _kept(service, key, reservation_id)
    if held.status == RELEASED:
        raise Problem(
            409, f"{held.id} was released; meter what was used by itself.", code="RESERVATION_RELEASED"
        )
    quantity = plain(_quantity(sent)) if "quantity" in sent else held.committed or held.quantity
    own = (*CUSTOMER_NAMES, *UNIT_NAMES, *KEY_NAMES, "quantity", "value")
    moment = next((sent[name] for name in TIME_NAMES if sent.get(name) is not None), None)
    event = {name: value for name, value in sent.items() if name not in own and name not in TIME_NAMES} | {
        "customerId": held.customer_id,
        "metricName": held.unit,
        "quantity": quantity,
        "idempotencyKey": f"rsv:{held.id}",
    }
    if moment is not None:
        event["occurredAt"] = moment
    outcome = await take_in(service, key, "reservation", [encode(event).decode()])
    raise_if_failed(outcome)
    held.status, held.committed = COMMITTED, quantity
    await _let_go(service, key, held)
    answer = to_json(outcome.body() | _shown(held, service.stamp()))
    answer.status_code = 202
    return answer


async def _let_go(service: EdgeService, key: KeyRecord, held: Reservation) -> None:
    await access_state.release(
        service.redis,
        key.tenant_id,
        held.customer_id,
        held.id,
        held.field,
        held.amount,
        encode(held),
        _KEEP_SECONDS,
    )
    service.nearby.forget(key.tenant_id, (held.customer_id,))


async def _kept(service: EdgeService, key: KeyRecord, reservation_id: str) -> Reservation:
    found: Any = await service.redis.get(access_state.reservation_key(key.tenant_id, reservation_id))
    held = None if found is None else _decode(found)
    if held is None or key.customer_id not in (None, held.customer_id):
        raise Problem(404, f"There is no reservation {reservation_id}.", code="RESERVATION_NOT_FOUND")
    return held


def _quantity(sent: dict[str, Any]) -> Decimal:
    try:
        quantity = to_quantity(sent.get("quantity", 1))
    except NotAQuantity as error:
        raise wrong("quantity", str(error)) from None
    if quantity < 0:
        raise wrong("quantity", f"{plain(quantity)} is negative")
    return quantity


def _seconds(sent: dict[str, Any]) -> int:
    seconds = sent.get("ttlSeconds", _SECONDS)
    if type(seconds) is not int or not 1 <= seconds <= _MOST_SECONDS:
        raise wrong("ttlSeconds", f"is not a number of seconds from 1 to {_MOST_SECONDS}")
    return seconds


def _own_id(sent: dict[str, Any]) -> str:
    given = first(sent, ("reservationId", *KEY_NAMES))
    if given is None:
        return f"rsv_{secrets.token_hex(12)}"
    if not _ID.fullmatch(given):
        raise wrong("reservationId", "is not 1 to 128 letters, digits, '.', '_', ':' and '-'")
    return given


def _refused(decision: Decision, left: Decimal | None = None) -> Problem:
    reason = "QUOTA_EXCEEDED" if decision.allowed else decision.reason
    remaining = decision.remaining if left is None else Decimal(plain(max(left, Decimal(0)).scaleb(-6)))
    extra: dict[str, Any] = {"quota": decision.quota, "remaining": remaining}
    if decision.resets_at is not None:
        extra["reset_at"] = iso(decision.resets_at)
    shown = {name: str(value) if isinstance(value, Decimal) else value for name, value in extra.items()}
    detail = (
        f"There is not enough left of {decision.feature}."
        if reason == "QUOTA_EXCEEDED"
        else f"Refused: {reason}."
    )
    return Problem(_REFUSED_BY.get(reason, 403), detail, code=reason, extra=shown)


def _shown(held: Reservation, now: int) -> dict[str, Any]:
    is_over = held.status == HELD and now >= held.ends_at
    return {
        "reservationId": held.id,
        "status": EXPIRED if is_over else held.status,
        "customerId": held.customer_id,
        "metricName": held.unit,
        "quantity": Decimal(held.quantity),
        "committed": None if held.committed is None else Decimal(held.committed),
        "expiresAt": iso(held.ends_at),
    }
