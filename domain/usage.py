"""A usage event at the door. Put here: reading one event as sent, and the gates. Keep out: clocks, storage, HTTP.

The gates, in order: schema, known unit, customer, quantity, time. They look at the event, the time of receipt and
the tenant's units, at nothing else, so that a replay decides the same. The last gate, duplicates, belongs to the log.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import blake2b
from operator import itemgetter
from struct import Struct
from typing import Any

from domain.access import UnitRecord
from domain.instant import DAY, MINUTE, NotAnInstant, iso, to_micros_since_epoch
from domain.quantity import NotAQuantity, plain, to_quantity

SCHEMA_INVALID = "SCHEMA_INVALID"
MISSING_CUSTOMER = "MISSING_CUSTOMER"
UNKNOWN_METRIC = "UNKNOWN_METRIC"
CUSTOMER_MISMATCH = "CUSTOMER_MISMATCH"
NEGATIVE_QUANTITY = "NEGATIVE_QUANTITY"
FUTURE_TIMESTAMP = "FUTURE_TIMESTAMP"
TOO_OLD = "TOO_OLD"
IDEMPOTENCY_CONFLICT = "IDEMPOTENCY_CONFLICT"

SYSTEM_PREFIX = "system."
FUTURE_LIMIT = 5 * MINUTE
AGE_LIMIT = 90 * DAY
LONGEST_TEXT = 512

CUSTOMER_NAMES = ("customerId", "customer_id", "customer")
UNIT_NAMES = (
    "metricName", "metric_name", "metricKey", "metric_key", "metricId", "metric_id", "metric", "event",
)  # fmt: skip
QUANTITY_NAMES = ("quantity", "value")
TIME_NAMES = ("occurredAt", "occurred_at", "timestamp", "event_timestamp")
KEY_NAMES = ("idempotencyKey", "idempotency_key")

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=str)
_make_parts: Any = getattr(json.encoder, "c_make_encoder", None)
# What the encoder above makes anew for each call, made once: markers, default, text, indent, separators, sorted, skipped, NaN.
_parts = _make_parts and _make_parts(
    None, str, json.encoder.encode_basestring_ascii, None, ":", ",", True, False, True
)
_BLANK = blake2b(digest_size=16)
_SIGNED = Struct(">q").unpack_from
_USUAL = ("customerId", "metricName", "idempotencyKey", "quantity", "occurredAt")
_taken = itemgetter(*_USUAL)


def canonical(fields: Mapping[str, Any]) -> str:
    """Fields of an event as text that does not depend on their order."""
    return "".join(_parts(fields, 0)) if _parts else _CANONICAL.encode(fields)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an event was not let in: the code, the field, and a sentence naming field, value and what would be right."""

    code: str
    field: str
    detail: str


@dataclass(frozen=True, slots=True)
class Door:
    """What the gates know besides the event.

    units: by lower-case key and name. customer_id: the customer the API key is bound to, None for a tenant's key.
    backfill: an operator's reason for letting events older than 90 days in. salt: sets apart events that carry
    neither key nor time (two such events are two events, also when they are alike). written: `canonical`, or what writes the same.
    """

    tenant_id: str
    units: Mapping[str, UnitRecord]
    customer_id: str | None = None
    backfill: str | None = None
    salt: str = ""
    written: Callable[[Any], str] = canonical


@dataclass(frozen=True, slots=True)
class Act:
    """What makes an event an operator's act upon another one. kind: VOID or AMEND. corrects: that one's idempotency key.
    origin_received_at: when the event it all goes back to was received, epoch microseconds."""

    kind: str
    corrects: str
    origin_received_at: int


@dataclass(slots=True)
class UsageEvent:
    """An event as understood; fields that could not be read are None, and `refusals` says why.

    occurred_at: epoch microseconds. digest: 16 bytes of BLAKE2b over tenant and idempotency key. payload_hash: signed
    64 bits over what the event says. definition: the billable unit, None where unknown and for `system.*`. act: no door
    sets it; only what corrects single events does.
    """

    customer_id: str | None = None
    unit: str | None = None
    quantity: Decimal | None = None
    occurred_at: int | None = None
    idempotency_key: str | None = None
    digest: bytes | None = None
    payload_hash: int | None = None
    correction: bool = False
    backfill: str | None = None
    definition: UnitRecord | None = None
    refusals: list[Refusal] = field(default_factory=list)
    act: Act | None = None

    @property
    def key_hash(self) -> int | None:
        return None if self.digest is None else _first_64_bits(self.digest)

    def refuse(self, code: str, name: str, detail: str) -> None:
        self.refusals.append(Refusal(code, name, f"{name}: {detail}"))


def read_event(sent: object, door: Door, *, received_at: int, position: int = 0) -> UsageEvent:
    """One event as sent (decoded JSON: numbers as int or Decimal) through all gates but the last.

    received_at: epoch microseconds. position: place in its request. An event with refusals must not be billed.
    """
    if type(sent) is dict and (usual := _usual_event(sent, door, received_at)) is not None:
        return usual
    return _through_all_gates(sent, door, received_at, position)


def _usual_event(sent: dict[str, Any], door: Door, received_at: int) -> UsageEvent | None:
    """An event under the names that nearly all use, where no gate has anything to say; None: they have to look.

    Never another event than the gates', only sooner."""
    try:
        customer, unit, key, amount, at = _taken(sent)
    except KeyError:
        return None
    if not (
        type(customer) is type(unit) is type(key) is str
        and 0 < len(key) <= LONGEST_TEXT
        and 0 < len(customer) <= LONGEST_TEXT
        and len(unit) <= LONGEST_TEXT
        and "\0" not in f"{customer}{unit}{key}"
        and not customer.isspace()
        and door.customer_id in (None, customer)
        and not unit.startswith(SYSTEM_PREFIX)
    ):
        return None
    definition = door.units.get(unit.lower())
    if definition is None:
        return None
    try:
        quantity, moment = to_quantity(amount), to_micros_since_epoch(at)
    except (NotAQuantity, NotAnInstant):
        return None
    if quantity < 0 or not -AGE_LIMIT <= moment - received_at <= FUTURE_LIMIT:
        return None
    return UsageEvent(
        customer,
        definition.key,
        quantity,
        moment,
        key,
        key_digest(door.tenant_id, key),
        said_hash(customer, definition.key, plain(quantity), str(moment), _usual_extras(sent, door.written)),
        definition=definition,
    )


def _usual_extras(sent: dict[str, Any], written: Callable[[Any], str]) -> str:
    """All but the usual fields, as `canonical` writes them."""
    if len(sent) == len(_USUAL):
        return ""
    if len(sent) == len(_USUAL) + 1 and "metadata" in sent:
        return f'{{"metadata":{written(sent["metadata"])}}}'
    return written({name: value for name, value in sent.items() if name not in _USUAL})


def _through_all_gates(sent: object, door: Door, received_at: int, position: int) -> UsageEvent:
    event = UsageEvent()
    if not isinstance(sent, Mapping):
        event.refuse(
            SCHEMA_INVALID, "event", f"{_shown(sent)} is not an object; send {{customerId, metricName, …}}"
        )
        return event
    used: list[str] = []
    _read_unit(event, sent, used)
    _read_quantity(event, sent, used)
    time_given = _read_time(event, sent, used, received_at)
    _read_key(event, sent, used)
    _read_customer(event, sent, used, door)
    _known_unit_gate(event, door)
    _customer_gate(event, door)
    _sign_gate(event)
    _time_gate(event, door, received_at)
    if event.customer_id is not None and event.unit is not None and event.quantity is not None:
        _identify(event, door, time_given, position)
        event.payload_hash = _payload_hash(event, sent, used, time_given)
    elif event.idempotency_key is not None:
        event.digest = key_digest(door.tenant_id, event.idempotency_key)
    return event


def key_digest(tenant_id: str, idempotency_key: str) -> bytes:
    """16 bytes of BLAKE2b over tenant and key."""
    return _digest(f"{tenant_id}\0{idempotency_key}")


def key_hash(tenant_id: str, idempotency_key: str) -> int:
    """Signed 64 bits over tenant and key, by which tables find an event; see `key_digest`."""
    return _first_64_bits(key_digest(tenant_id, idempotency_key))


def said_hash(
    customer_id: str | None, unit: str | None, quantity: str, moment: str = "", extras: str = ""
) -> int:
    """Signed 64 bits over what an event says. quantity: as `plain` writes it. moment: epoch microseconds as sent, empty where the
    receipt's time stands in. extras: all other fields as `canonical` writes them, empty without any."""
    return _first_64_bits(_digest(f"{customer_id}\0{unit}\0{quantity}\0{moment}\0{extras}"))


def _first_64_bits(digest: bytes) -> int:
    number: int = _SIGNED(digest)[0]
    return number


def _digest(text: str) -> bytes:
    hashed = _BLANK.copy()
    hashed.update(text.encode())
    return hashed.digest()


def _find(sent: Mapping[str, Any], names: tuple[str, ...], used: list[str]) -> object:
    for name in names:
        value = sent.get(name)
        if value is not None:
            used.append(name)
            return value
    return None


def _text(event: UsageEvent, value: object, name: str) -> str | None:
    if not isinstance(value, str):
        event.refuse(SCHEMA_INVALID, name, f"{_shown(value)} is not text")
    elif len(value) > LONGEST_TEXT:
        event.refuse(SCHEMA_INVALID, name, f"has {len(value)} characters; at most {LONGEST_TEXT} are allowed")
    elif "\0" in value:
        event.refuse(SCHEMA_INVALID, name, f"{_shown(value)} holds a NUL character; leave it out")
    else:
        return value
    return None


def _read_unit(event: UsageEvent, sent: Mapping[str, Any], used: list[str]) -> None:
    value = _find(sent, UNIT_NAMES, used)
    if value is None or value == "":
        event.refuse(SCHEMA_INVALID, "metricName", "is missing; send the key or the name of a billable unit")
    else:
        event.unit = _text(event, value, used[-1])


def _read_quantity(event: UsageEvent, sent: Mapping[str, Any], used: list[str]) -> None:
    value = _find(sent, QUANTITY_NAMES, used)
    if value is None:
        event.refuse(SCHEMA_INVALID, "quantity", "is missing; send a decimal such as 1 or 0.5")
        return
    try:
        event.quantity = to_quantity(value)
    except NotAQuantity as error:
        event.refuse(SCHEMA_INVALID, used[-1], f"{_shown(value)} {error}")


def _read_time(event: UsageEvent, sent: Mapping[str, Any], used: list[str], received_at: int) -> bool:
    """Whether the event carries its own time."""
    value = _find(sent, TIME_NAMES, used)
    if value is None:
        event.occurred_at = received_at
        return False
    try:
        event.occurred_at = to_micros_since_epoch(value)
    except NotAnInstant as error:
        event.refuse(SCHEMA_INVALID, used[-1], f"{_shown(value)} {error}")
    return True


def _read_key(event: UsageEvent, sent: Mapping[str, Any], used: list[str]) -> None:
    value = _find(sent, KEY_NAMES, used)
    if value is not None and value != "":
        event.idempotency_key = _text(event, value, used[-1])


def _read_customer(event: UsageEvent, sent: Mapping[str, Any], used: list[str], door: Door) -> None:
    value = _find(sent, CUSTOMER_NAMES, used)
    if value is not None and not (isinstance(value, str) and not value.strip()):
        event.customer_id = _text(event, value, used[-1])
    elif door.customer_id is not None:
        event.customer_id = door.customer_id
    elif _is_system(event):
        event.customer_id = "system"
    else:
        event.refuse(MISSING_CUSTOMER, "customerId", "is missing; send the id of the customer who is billed")


def _known_unit_gate(event: UsageEvent, door: Door) -> None:
    if event.unit is None or _is_system(event):
        return
    event.definition = door.units.get(event.unit.lower())
    if event.definition is None:
        known = f"{_shown(event.unit)} is no billable unit of this tenant; create it, or correct the name"
        event.refuse(UNKNOWN_METRIC, "metricName", known)
    else:
        event.unit = event.definition.key


def _customer_gate(event: UsageEvent, door: Door) -> None:
    """A customer's key meters that customer only. Heartbeats are never billed, so they may name anyone."""
    if door.customer_id is None or event.customer_id in (None, door.customer_id) or _is_system(event):
        return
    detail = (
        f"{_shown(event.customer_id)} is not the customer of this API key; leave it out or send the key's own"
    )
    event.refuse(CUSTOMER_MISMATCH, "customerId", detail)


def _sign_gate(event: UsageEvent) -> None:
    if event.quantity is None or event.quantity >= 0:
        return
    if event.definition is not None and event.definition.allow_negative:
        event.correction = True
        return
    detail = f"{plain(event.quantity)} is negative; only units created with allowNegative take corrections"
    event.refuse(NEGATIVE_QUANTITY, "quantity", detail)


def _time_gate(event: UsageEvent, door: Door, received_at: int) -> None:
    moment = event.occurred_at
    if moment is None:
        return
    if moment > received_at + FUTURE_LIMIT:
        detail = f"{iso(moment)} is more than 5 minutes after receipt at {iso(received_at)}; check the clock"
        event.refuse(FUTURE_TIMESTAMP, "occurredAt", detail)
    elif moment < received_at - AGE_LIMIT:
        if door.backfill:
            event.backfill = door.backfill
            return
        hint = "; numbers are epoch milliseconds, not seconds" if 0 <= moment < 10 * 366 * DAY else ""
        detail = f"{iso(moment)} is more than 90 days before receipt at {iso(received_at)}{hint}"
        event.refuse(TOO_OLD, "occurredAt", detail)


def _is_system(event: UsageEvent) -> bool:
    return event.unit is not None and event.unit.startswith(SYSTEM_PREFIX)


def _identify(event: UsageEvent, door: Door, time_given: bool, position: int) -> None:
    """The event's idempotency key -- derived where none was sent -- and its digest."""
    if event.idempotency_key is None and not event.refusals:
        assert event.quantity is not None
        parts = [door.tenant_id, event.customer_id, event.unit, plain(event.quantity), str(event.occurred_at)]
        if not time_given:
            parts += [door.salt, str(position)]
        event.idempotency_key = "auto:" + _digest("\0".join(map(str, parts))).hex()
    if event.idempotency_key is not None:
        event.digest = key_digest(door.tenant_id, event.idempotency_key)


def _payload_hash(event: UsageEvent, sent: Mapping[str, Any], used: list[str], time_given: bool) -> int:
    """What the event says, in 64 bits; a time taken from the receipt is not what the event says."""
    assert event.quantity is not None
    moment = str(event.occurred_at) if time_given else ""
    extras = ""
    if len(sent) > len(used):
        others = {name: value for name, value in sent.items() if name not in used}
        extras = canonical(others)
    return said_hash(event.customer_id, event.unit, plain(event.quantity), moment, extras)


def _shown(value: object) -> str:
    text = str(value) if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else text[:77] + "…"
