"""The ingest routes. Put here: which shape each route takes and how it answers. Keep out: the gates, the log, the shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response

from api.edge import shapes
from api.edge.auth import metering_key
from api.edge.bodies import Json, batch_texts, decode_json, read_body, too_many
from api.edge.heads import header
from api.edge.intake import Outcome, take_in
from api.edge.limiting import tell
from api.edge.service import EdgeService
from api.problems import FieldError, Problem
from domain import limits
from domain.usage import CUSTOMER_MISMATCH, IDEMPOTENCY_CONFLICT, QUANTITY_NAMES

_BATCH_PATHS = ("/v1/ingest/batch", "/v1/ingest/events", "/v1/ingest/events/batch")
_COMPOUND_PATHS = ("/api/v1/ingest/compound", "/api/v1/ingest/compound/batch")
_SINGLE_STATUS = {CUSTOMER_MISMATCH: 403, IDEMPOTENCY_CONFLICT: 409}
_EVENT = {"type": "object", "description": "customerId, metricName, quantity, occurredAt, idempotencyKey, …"}
_COMPOUND = {
    "type": "object",
    "description": "correlationId, customerId, occurredAt, metadata, measurements of metricName, quantity, dimensionKey",
}
_JSON, _CLOUD = "application/json", (shapes.CLOUD, shapes.CLOUD_BATCH)


@dataclass(frozen=True, slots=True)
class _Route:
    """What a route takes. must_be_batch: `events` must be there. counts_as_one: a missing quantity is 1. is_agents: events may be
    in the agent's shape. Cloud events pass everywhere but at compound routes."""

    source: str
    door: str
    must_be_batch: bool = False
    counts_as_one: bool = False
    is_agents: bool = False
    is_compound: bool = False


_BATCH = _Route("ingest", limits.INGEST, must_be_batch=True)
_INGEST = _Route("ingest", limits.INGEST, is_agents=True)
_METER = _Route("meter", limits.METER)
_EVENTS = _Route("events", limits.METER, counts_as_one=True)
_ONE_COMPOUND = _Route("compound", limits.INGEST, is_compound=True)
_MANY_COMPOUND = _Route("compound", limits.INGEST, is_compound=True, must_be_batch=True)


def add_ingest_routes(app: FastAPI, service: EdgeService) -> None:
    """POST /v1/ingest/batch and its aliases, /v1/ingest, /v1/meter, /v1/events, /api/v1/ingest/compound and /batch."""

    async def batch(request: Request) -> Response:
        """Many events. 202 with what became of them; events that fail do not stop the others."""
        return await _ingest(service, request, _BATCH)

    async def ingest(request: Request) -> Response:
        """One event, or many as `{"events": […]}`; cloud events by their content type."""
        return await _ingest(service, request, _INGEST)

    async def meter(request: Request) -> Response:
        """One event in the gateway's shape: `{metric_id | metricKey | metricName, quantity, customerId, …}`."""
        return await _ingest(service, request, _METER)

    async def events(request: Request) -> Response:
        """One event that counts as 1: `{event, customer_id, …}`."""
        return await _ingest(service, request, _EVENTS)

    async def compound(request: Request) -> Response:
        """Several measurements of one call, an event each: `{correlationId, customerId, measurements: […], …}`."""
        return await _ingest(service, request, _ONE_COMPOUND)

    async def compounds(request: Request) -> Response:
        """Many compound events as `{"events": […]}`."""
        return await _ingest(service, request, _MANY_COMPOUND)

    app.post("/v1/meter", **_described(_EVENT, *_CLOUD))(meter)
    app.post("/v1/ingest", **_described(_EVENT, *_CLOUD))(ingest)
    app.post("/v1/events", **_described(_EVENT, *_CLOUD))(events)
    for path in _BATCH_PATHS:
        app.post(path, **_described(_many(_EVENT), *_CLOUD))(batch)
    app.post(_COMPOUND_PATHS[0], **_described(_COMPOUND))(compound)
    app.post(_COMPOUND_PATHS[1], **_described(_many(_COMPOUND)))(compounds)
    # A client that appends the path to a base URL with a trailing slash.
    app.post("//v1/ingest/batch", include_in_schema=False, **_described(_many(_EVENT)))(batch)


async def _ingest(service: EdgeService, request: Request, route: _Route) -> Response:
    key = await metering_key(service, request)
    settings = service.settings
    body = await read_body(request, settings.max_body_bytes, service.body_patience)
    texts, is_single, origins = _texts(request, route, body, settings.max_events)
    complete = _one if route.counts_as_one else None
    outcome = await take_in(service, key, route.source, texts, complete=complete, door=route.door)
    tell(request, outcome.limits, outcome.counted, refused=outcome.refused)
    if is_single:
        raise_if_failed(outcome)
    return Json(msgspec.json.encode(outcome.body(origins)), 202)


def _texts(
    request: Request, route: _Route, body: bytes, most: int
) -> tuple[Sequence[str], bool, Sequence[int] | None]:
    """The events, whether it is a single one that gets a status of its own, and what they were made from."""
    content_type = header(request, b"content-type") or _JSON
    if content_type.startswith(_CLOUD) and not route.is_compound:
        is_batch = content_type.startswith(shapes.CLOUD_BATCH)
        return _cloud_texts(body, is_batch, most), not is_batch, None
    texts = batch_texts(body, most)
    is_single = texts is None
    if texts is None:
        if route.must_be_batch:
            wrong = FieldError("events", 'is missing; send {"events": [ … ]}', "SCHEMA_INVALID")
            raise Problem(422, "events: is missing.", code="SCHEMA_INVALID", errors=[wrong])
        texts = [body.decode().strip()]
    if route.is_compound:
        made = shapes.compound_events(texts)
        if len(made.texts) > most:
            raise too_many(len(made.texts), most)
        return made.texts, is_single, made.origins
    if route.is_agents and (b'"apiKey"' in body or b'"eventType"' in body):
        return shapes.agent_events(texts), is_single, None
    return texts, is_single, None


def _cloud_texts(body: bytes, is_batch: bool, most: int) -> list[str]:
    sent = decode_json(body)
    if is_batch and not isinstance(sent, list):
        raise Problem(400, "A batch of cloud events is a JSON array.", code="BAD_REQUEST")
    if not is_batch and not isinstance(sent, dict):
        raise Problem(400, "A cloud event is a JSON object.", code="BAD_REQUEST")
    if is_batch and len(sent) > most:
        raise too_many(len(sent), most)
    return shapes.cloud_events(sent if is_batch else [sent])


def _one(sent: dict[str, Any]) -> dict[str, Any]:
    """The event with a quantity of 1 unless it has its own."""
    return sent if any(sent.get(name) is not None for name in QUANTITY_NAMES) else sent | {"quantity": 1}


def raise_if_failed(outcome: Outcome) -> None:
    """A single event that fails is a problem of its own; it is in the log all the same."""
    if not outcome.failures:
        return
    refusals = outcome.failures[0][1]
    first = refusals[0]
    raise Problem(
        _SINGLE_STATUS.get(first.code, 422),
        first.detail,
        code=first.code,
        errors=[FieldError(r.field, r.detail.removeprefix(f"{r.field}: "), r.code) for r in refusals],
    )


def _many(schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"events": {"type": "array", "items": schema}},
        "required": ["events"],
    }


def _described(schema: dict[str, Any], *cloud: str) -> dict[str, Any]:
    """Bodies are decoded by hand, so OpenAPI has to be told what they are."""
    content: dict[str, Any] = {_JSON: {"schema": schema}}
    content |= {each: {"schema": {"type": "array" if "batch" in each else "object"}} for each in cloud}
    return {
        "tags": ["ingest"],
        "status_code": 202,
        "response_model": None,
        "openapi_extra": {"requestBody": {"required": True, "content": content}},
    }
