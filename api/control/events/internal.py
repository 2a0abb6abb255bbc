"""What the edge asks of events in the lake, on loopback. Put here: that one route and its token. Keep out: operators' routes."""

import hmac

import msgspec
from fastapi import APIRouter, Request, Response

from api.control.answers import camel
from api.control.calls import Door
from api.problems import Problem
from domain.actor import SYSTEM
from storage.events_found import whole_story
from storage.lake import Lake
from storage.secret_files import reader_token
from storage.tenancy import tenant_tx


def internal_event_routes(door: Door) -> APIRouter:
    """GET /internal/v1/events/{key}: bare, for whoever holds this installation's reader token."""
    router = APIRouter(prefix="/internal/v1/events", include_in_schema=False)
    lake = Lake(door.lake_url)

    @router.get("/{key:path}")
    def one(key: str, request: Request) -> Response:
        """Where an event is and why, as the lake and the invoices tell it. The edge has seen who asks, and for which tenant."""
        _admit(door, request)
        tenant_id = request.headers.get("x-tenant-id", "")
        with tenant_tx(door.engine, tenant_id, SYSTEM) as tx:
            story = camel(
                whole_story(tx.session, lake, None, tenant_id, key)
            )  # the edge has asked Redis itself
        return Response(msgspec.json.encode(story), media_type="application/json")

    return router


def _admit(door: Door, request: Request) -> None:
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    right = reader_token(door.home)
    if scheme.lower() != "bearer" or not hmac.compare_digest(secret.strip().encode(), right.encode()):
        raise Problem(401, "This is for this installation's edge alone.", code="UNAUTHORIZED")
