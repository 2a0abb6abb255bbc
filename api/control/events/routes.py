"""The routes of single events. Put here: reading the request, shaping the answer. Keep out: what may be corrected, and how."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from pydantic import Field
from redis import Redis
from redis.exceptions import RedisError

from api.control.answers import camel
from api.control.bodies import Body
from api.control.calls import Area, Call, Door, managed_router
from domain.errors import TransientFailure
from storage.connections import connect
from storage.event_log import LogNotDurable
from storage.events_found import shown_act, whole_story
from storage.lake import Lake
from storage.services.event_corrections import EventCorrections, send_waiting
from storage.tables.corrections import EventActRow
from storage.tenancy import Tx

log = logging.getLogger(__name__)


class HotStateUnavailable(TransientFailure):
    """Redis does not answer, and nothing was recorded."""

    code = "HOT_STATE_UNAVAILABLE"


class Void(Body):
    """Why the event counts no more."""

    reason: str = Field(min_length=1, max_length=512, examples=["sent by a test script"])


class Amend(Body):
    """What the event should have said; what is left out stays. Customer and unit stay: void the event and send it anew instead."""

    reason: str = Field(min_length=1, max_length=512, examples=["the gateway counted retries"])
    quantity: Any = Field(None, description="A decimal, as a number or as text.", examples=["12.5"])
    occurred_at: Any = Field(
        None, description="ISO 8601, or epoch milliseconds.", examples=["2026-01-31T23:59:59Z"]
    )
    properties: Any = Field(
        None, description="In place of the event's `properties`.", examples=[{"region": "eu"}]
    )
    metadata: Any = Field(
        None, description="In place of the event's `metadata`.", examples=[{"ticket": "4711"}]
    )


def event_routes(door: Door) -> APIRouter:
    """GET /api/v1/events/{key}, POST /{key}/void, POST /{key}/amend."""
    router = managed_router("/api/v1/events", "events")
    lake = Lake(door.lake_url)

    @router.get("/{key:path}")
    def one(key: str, call: Annotated[Call, Depends(door.read(Area.BILLING))]) -> Response:
        """Where an event is and why: all that arrived under its idempotency key with each payload, acts upon it, its invoice lines."""

        def story(tx: Tx) -> dict[str, Any]:
            with _redis(door) as redis:
                return camel(whole_story(tx.session, lake, redis, tx.tenant_id, key))

        return call.read(story)

    @router.post("/{key:path}/void", status_code=201)
    def void(key: str, body: Void, call: Annotated[Call, Depends(door.write(Area.BILLING))]) -> Response:
        """Take one accepted event back. It is kept, and counts no more: from the next bill on, or as a finding where it was issued."""
        return _done(call, lambda tx, redis: EventCorrections(tx, lake, redis).void(key, body.sent()))

    @router.post("/{key:path}/amend", status_code=201)
    def amend(key: str, body: Amend, call: Annotated[Call, Depends(door.write(Area.BILLING))]) -> Response:
        """Let one accepted event count as it should have been. The original is kept."""
        return _done(call, lambda tx, redis: EventCorrections(tx, lake, redis).amend(key, body.sent()))

    return router


def _done(call: Call, act: Any) -> Response:
    def work(tx: Tx) -> dict[str, Any]:
        with _redis(call.door) as redis:
            row: EventActRow = act(tx, redis)
        return camel(shown_act(row))

    answer = call.write(work, status=201)
    try:
        with _redis(call.door) as redis:
            send_waiting(call.door.engine, redis, tenant_id=call.tenant_id)
    except (HotStateUnavailable, LogNotDurable) as error:
        # It is recorded, and the next ingest sends it: telling the caller that it failed would be wrong.
        log.warning("acts upon events of %s wait for the next ingest: %s", call.tenant_id, error)
    return answer


@contextmanager
def _redis(door: Door) -> Iterator[Redis]:
    if door.redis_url is None:
        raise HotStateUnavailable("no Redis is set up for this door (AFORO_REDIS_URL)")
    try:
        with connect(door.redis_url, socket_timeout=5, socket_connect_timeout=2) as redis:
            yield redis
    except RedisError as error:
        raise HotStateUnavailable(f"hot state does not answer ({error}); try again") from error
