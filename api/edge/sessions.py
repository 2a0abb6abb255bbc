"""Sessions of agents. Put here: which are alive, stopping one. Keep out: heartbeats (they are events like any other)."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response

from api.edge.access import to_json, wrong
from api.edge.auth import authenticate, require_whole_tenant
from api.edge.service import EdgeService
from domain.access import METER
from domain.instant import SECOND, iso
from domain.usage import LONGEST_TEXT
from storage import access_state
from storage.access_state import KilledAtEdge

_SHOWN = 1_000


def add_session_routes(app: FastAPI, service: EdgeService) -> None:
    """GET /v1/sessions, POST /v1/sessions/{sessionId}/kill."""

    @app.get("/v1/sessions", tags=["sessions"], response_model=None)
    async def listing(request: Request) -> Response:
        """Sessions heard of within the last hour, the latest first."""
        key = require_whole_tenant(await authenticate(service, request, METER))
        found = await access_state.live_sessions(service.redis, key.tenant_id, _SHOWN)
        sessions = [{"sessionId": name, "lastHeardAt": iso(at * SECOND)} for name, at in found.items()]
        return to_json({"sessions": sessions})

    @app.post("/v1/sessions/{sessionId}/kill", tags=["sessions"], status_code=204, response_model=None)
    async def kill(sessionId: str, request: Request) -> Response:
        """Whoever meters with this session from now on is told so in `killedSessionIds`, for a day. What it used still counts."""
        key = require_whole_tenant(await authenticate(service, request, METER))
        if len(sessionId) > LONGEST_TEXT:
            raise wrong("sessionId", f"has more than {LONGEST_TEXT} characters")
        act = KilledAtEdge(key.tenant_id, sessionId, key.key_id, service.stamp() // SECOND)
        await access_state.kill_session(service.redis, act)
        return Response(status_code=204)
