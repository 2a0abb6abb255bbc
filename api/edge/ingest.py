"""The ingest routes. Put here: which shape each route takes and how it answers. Keep out: the gates, the log."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response

from api.edge.auth import authenticate
from api.edge.bodies import batch_texts, read_body
from api.edge.intake import Outcome, take_in
from api.edge.service import EdgeService
from api.problems import FieldError, Problem
from domain.access import METER
from domain.usage import CUSTOMER_MISMATCH, IDEMPOTENCY_CONFLICT, QUANTITY_NAMES

_BATCH_PATHS = ("/v1/ingest/batch", "/v1/ingest/events", "/v1/ingest/events/batch", "//v1/ingest/batch")
"""The last: a client that appends the path to a base URL with a trailing slash."""
_SINGLE_STATUS = {CUSTOMER_MISMATCH: 403, IDEMPOTENCY_CONFLICT: 409}
_EVENT = {"type": "object", "description": "customerId, metricName, quantity, occurredAt, idempotencyKey, …"}
_BATCH = {
    "type": "object",
    "properties": {"events": {"type": "array", "items": _EVENT}},
    "required": ["events"],
}


def add_ingest_routes(app: FastAPI, service: EdgeService) -> None:
    """POST /v1/ingest/batch and its aliases, /v1/ingest, /v1/meter, /v1/events."""

    async def batch(request: Request) -> Response:
        """Many events. 202 with what became of them; events that fail do not stop the others."""
        return await _ingest(service, request, "ingest", must_be_batch=True)

    async def ingest(request: Request) -> Response:
        """One event, or many as `{"events": […]}`."""
        return await _ingest(service, request, "ingest")

    async def meter(request: Request) -> Response:
        """One event in the gateway's shape: `{metric_id | metricKey | metricName, quantity, customerId, …}`."""
        return await _ingest(service, request, "meter")

    async def events(request: Request) -> Response:
        """One event that counts as 1: `{event, customer_id, …}`."""
        return await _ingest(service, request, "events", counts_as_one=True)

    app.post("/v1/meter", **_described(_EVENT))(meter)
    app.post("/v1/ingest", **_described(_EVENT))(ingest)
    app.post("/v1/events", **_described(_EVENT))(events)
    for path in _BATCH_PATHS:
        app.post(path, **_described(_BATCH), include_in_schema=path == _BATCH_PATHS[0])(batch)


async def _ingest(
    service: EdgeService,
    request: Request,
    source: str,
    *,
    must_be_batch: bool = False,
    counts_as_one: bool = False,
) -> Response:
    key = await authenticate(service, request, METER)
    body = await read_body(request, service.settings.max_body_bytes)
    texts = batch_texts(body, service.settings.max_events)
    complete = _one if counts_as_one else None
    if texts is not None:
        outcome = await take_in(service, key, source, texts, complete=complete)
    elif must_be_batch:
        wrong = FieldError("events", 'is missing; send {"events": [ … ]}', "SCHEMA_INVALID")
        raise Problem(422, "events: is missing.", code="SCHEMA_INVALID", errors=[wrong])
    else:
        outcome = await take_in(service, key, source, [body.decode().strip()], complete=complete)
        _raise_if_failed(outcome)
    return Response(msgspec.json.encode(outcome.body()), status_code=202, media_type="application/json")


def _one(sent: dict[str, Any]) -> dict[str, Any]:
    """The event with a quantity of 1 unless it has its own."""
    return sent if any(sent.get(name) is not None for name in QUANTITY_NAMES) else sent | {"quantity": 1}


def _raise_if_failed(outcome: Outcome) -> None:
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


def _described(schema: dict[str, Any]) -> dict[str, Any]:
    """Bodies are decoded by hand, so OpenAPI has to be told what they are."""
    body = {"required": True, "content": {"application/json": {"schema": schema}}}
    return {
        "tags": ["ingest"],
        "status_code": 202,
        "response_model": None,
        "openapi_extra": {"requestBody": body},
    }
