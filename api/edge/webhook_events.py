"""From a webhook's body to events. Put here: what a call is about, where its usage stands. Keep out: signatures, routes, Redis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from hashlib import blake2b
from typing import Any
from urllib.parse import parse_qsl

from api.exact_json import decode, encode
from domain.instant import SECOND, NotAnInstant, to_micros_since_epoch
from domain.usage import LONGEST_TEXT
from domain.webhook_source import WebhookSource
from storage.json_path import NotAPath, first_at

_TYPE_PATHS: Mapping[str, tuple[str, ...]] = {
    "STRIPE": ("$.type",),
    "SLACK": ("$.event.type", "$.type"),
    "SENDGRID": ("$.event",),
    "TWILIO": ("$.MessageStatus", "$.SmsStatus", "$.CallStatus"),
    "GENERIC": ("$.type", "$.event", "$.eventType"),
}
_ID_PATHS: Mapping[str, tuple[str, ...]] = {
    "STRIPE": ("$.id",),
    "SLACK": ("$.event_id",),
    "SENDGRID": ("$.sg_event_id",),
    "TWILIO": ("$.MessageSid", "$.SmsSid", "$.CallSid"),
    "GENERIC": ("$.id", "$.event_id", "$.eventId"),
}
_MILLIS_FROM = 100_000_000_000
"""Numbers below are seconds, as most providers send them."""


class Malformed(Exception):
    """The body is not what the provider sends; the message says why."""


@dataclass(frozen=True, slots=True)
class Made:
    """texts: events for the gates. filtered: how many the source lets pass by. moments: when they happened, epoch seconds."""

    texts: list[str]
    filtered: int
    moments: list[int]


def documents(source: WebhookSource, headers: Mapping[str, str], body: bytes) -> list[Any]:
    """What the body says, each event of it a document. Raises Malformed."""
    try:
        if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            fields = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=1000))
            payload = fields.get("payload")
            found = decode(payload) if payload is not None and source.provider != "TWILIO" else fields
        else:
            found = decode(body)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"the body cannot be read: {error}") from None
    return found if isinstance(found, list) else [found]


def events(source_id: str, source: WebhookSource, headers: Mapping[str, str], found: list[Any]) -> Made:
    """The events of a call. One without an id of its provider is known by its content. Raises Malformed."""
    passed = {name.strip() for name in (source.event_filter or "").split(",") if name.strip()}
    texts, filtered, moments = [], 0, []
    for document in found:
        kind = _kind(source, headers, document)
        if passed and kind not in passed and (kind or "").partition(".")[0] not in passed:
            filtered += 1
            continue
        event = _event(source_id, source, headers, document, kind)
        texts.append(encode(event).decode())
        moment = _moment(event.get("occurredAt"))
        if moment is not None:
            moments.append(moment)
    return Made(texts, filtered, moments)


def challenge(source: WebhookSource, found: list[Any]) -> str | None:
    """What Slack wants to hear back when a URL is entered."""
    if source.provider != "SLACK" or not isinstance(found[0], dict):
        return None
    sent = found[0].get("challenge")
    return sent if found[0].get("type") == "url_verification" and isinstance(sent, str) else None


def _event(
    source_id: str, source: WebhookSource, headers: Mapping[str, str], document: Any, kind: str | None
) -> dict[str, Any]:
    event_id = _id(source, headers, document, kind)
    key = f"wh:{source_id}:{event_id}"
    if len(key) > LONGEST_TEXT:
        key = "wh:" + blake2b(key.encode(), digest_size=16).hexdigest()
    moment = _at(source.timestamp_path, document)
    if (type(moment) is int or isinstance(moment, Decimal)) and 0 < moment < _MILLIS_FROM:
        moment *= 1000
    event = {
        "customerId": _text(_at(source.customer_id_path, document)),
        "metricName": source.metric_key or _text(_at(source.metric_key_path, document)),
        "quantity": _at(source.quantity_path, document) if source.quantity_path else 1,
        "occurredAt": moment,
        "idempotencyKey": key,
        "webhook": {"source": source_id, "provider": source.provider, "type": kind, "id": event_id},
    }
    return {name: value for name, value in event.items() if value is not None}


def _kind(source: WebhookSource, headers: Mapping[str, str], document: Any) -> str | None:
    if source.event_type_path is not None:
        return _text(_at(source.event_type_path, document))
    if source.provider == "GITHUB":
        event, action = headers.get("x-github-event"), _at("$.action", document)
        return f"{event}.{action}" if event and isinstance(action, str) else event
    return _text(_first(_TYPE_PATHS[source.provider], document))


def _id(source: WebhookSource, headers: Mapping[str, str], document: Any, kind: str | None) -> str:
    if source.event_id_path is not None:
        found = _text(_at(source.event_id_path, document))
    elif source.provider == "GITHUB":
        found = headers.get("x-github-delivery")
    else:
        found = _text(_first(_ID_PATHS[source.provider], document))
        if source.provider == "TWILIO" and found and kind:
            found = f"{found}:{kind}"  # each change of a message's state is a call of its own
    return found or "sha:" + blake2b(encode(document), digest_size=16).hexdigest()


def _first(paths: tuple[str, ...], document: Any) -> Any:
    return next((found for path in paths if (found := _at(path, document)) is not None), None)


def _at(path: str | None, document: Any) -> Any:
    if path is None:
        return None
    try:
        return first_at(path, document)
    except NotAPath as error:
        raise Malformed(f"{path}: {error}") from None


def _text(value: Any) -> str | None:
    """Ids are sent as numbers too."""
    if isinstance(value, str):
        return value
    return str(value) if type(value) is int else None


def _moment(sent: Any) -> int | None:
    try:
        return None if sent is None else to_micros_since_epoch(sent) // SECOND
    except NotAnInstant:
        return None
