"""Other forms of usage, as events. Put here: compound events, CloudEvents, the agent's events. Keep out: the gates, routes.

An event made here is written out in full, so that it can be read again from the log without knowing how it came. What
cannot be read as its form goes on as it was sent: the gates refuse it and keep it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from hashlib import blake2b
from typing import Any

from api.exact_json import canonical, decode, encode
from domain.quantity import NotAQuantity, to_quantity
from domain.usage import CUSTOMER_NAMES, KEY_NAMES, LONGEST_TEXT, TIME_NAMES, UNIT_NAMES

CLOUD, CLOUD_BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
_CLOUD_REQUIRED = ("id", "source", "specversion", "type")


@dataclass(frozen=True, slots=True)
class Texts:
    """Events, each as text. origins: the place in the request each was made from."""

    texts: Sequence[str]
    origins: Sequence[int]


def agent_events(texts: Sequence[str]) -> list[str]:
    """The agent's events carry the API key and no idempotency key: the one is left out, the other follows from the event."""
    return [_agent_event(text) for text in texts]


def compound_events(texts: Sequence[str]) -> Texts:
    """One event for each measurement of compound events; those that are not above zero count for nothing and are left out."""
    made, origins = [], []
    for position, text in enumerate(texts):
        for event in _measured(text):
            made.append(event)
            origins.append(position)
    return Texts(made, origins)


def cloud_events(sent: Sequence[Any]) -> list[str]:
    """CloudEvents 1.0: usage is what `data` says; customer, unit, time and key are the envelope's where it says none."""
    return [_text(_from_cloud(each) if _is_cloud(each) else each) for each in sent]


def _agent_event(text: str) -> str:
    sent = _decoded(text)
    if not isinstance(sent, dict) or not ("apiKey" in sent or "eventType" in sent):
        return text
    event = {name: value for name, value in sent.items() if name != "apiKey"}
    if not _has(event, KEY_NAMES) and _has(event, TIME_NAMES):
        event["idempotencyKey"] = "agent:" + _digest(event)
    return _text(event)


def _measured(text: str) -> Iterator[str]:
    sent = _decoded(text)
    measurements = sent.get("measurements") if isinstance(sent, dict) else None
    if not isinstance(measurements, list):
        yield text
        return
    common = {name: value for name, value in sent.items() if name not in ("measurements", *KEY_NAMES)}
    whole = sent.get("correlationId")
    whole = whole if isinstance(whole, str) and whole else _digest(sent)
    seen: dict[str, int] = {}
    for measurement in measurements:
        if not isinstance(measurement, dict):
            yield _text(common | {"measurement": measurement})
        elif _counts(measurement.get("quantity")):
            part = f"{measurement.get('metricName')}:{measurement.get('dimensionKey') or ''}"
            seen[part] = seen.get(part, 0) + 1
            key = _fitting(f"cmp:{whole}:{part}:{seen[part]}")
            yield _text(common | measurement | {"idempotencyKey": key})


def _counts(quantity: Any) -> bool:
    try:
        return to_quantity(quantity) > 0
    except NotAQuantity:
        return False


def _is_cloud(sent: Any) -> bool:
    return (
        isinstance(sent, dict)
        and all(isinstance(sent.get(name), str) and sent[name] for name in _CLOUD_REQUIRED)
        and sent["specversion"] == "1.0"
    )


def _from_cloud(sent: Mapping[str, Any]) -> dict[str, Any]:
    data = sent.get("data")
    event = dict(data) if isinstance(data, dict) else {}
    if type(data) is int or isinstance(data, Decimal):
        event["quantity"] = data
    for names, value in (
        (CUSTOMER_NAMES, sent.get("subject")),
        (UNIT_NAMES, sent["type"]),
        (TIME_NAMES, sent.get("time")),
        (KEY_NAMES, _fitting(f"ce:{sent['source']}:{sent['id']}")),
    ):
        if value is not None and not _has(event, names):
            event[names[0]] = value
    return event | {"cloudEvent": {name: value for name, value in sent.items() if name != "data"}}


def _has(event: Mapping[str, Any], names: Sequence[str]) -> bool:
    return any(event.get(name) not in (None, "") for name in names)


def _fitting(key: str) -> str:
    return key if len(key) <= LONGEST_TEXT else "h:" + blake2b(key.encode(), digest_size=16).hexdigest()


def _digest(sent: Any) -> str:
    return blake2b(canonical(sent), digest_size=16).hexdigest()


def _decoded(text: str) -> Any:
    try:
        return decode(text)
    except (ValueError, RecursionError):
        return None


def _text(event: Any) -> str:
    return encode(event).decode()
