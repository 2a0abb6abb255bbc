"""The routes of what holds customers and keys back besides their contracts. Put here: reading the request, shaping the answer. Keep
out: rules."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Response
from pydantic import ConfigDict, Field

from api.control.answers import camel
from api.control.bodies import Body
from api.control.calls import Area, Call, Door, managed_router
from domain.margin_guard import written_margin_level
from domain.request_limits import EACH_KEY, KEY, PLAN, TENANT
from storage.services.killed_sessions import KilledSessions
from storage.services.margin_levels import CurrentLevel, MarginLevels
from storage.services.request_limits import CurrentLimits, RequestLimits
from storage.tables.limits import KilledSessionRow

_LIMIT = {"door": "METER", "requests": 600, "burst": 60, "windowSeconds": 60, "enforcementMode": "HARD"}


class RequestLimitsBody(Body):
    """All limits of the scope, one for a door; a door that is left out has what holds otherwise."""

    limits: list[dict[str, Any]] = Field(
        description="`door` (METER, INGEST, ACCESS, ENTITLEMENTS) with `requests`, `burst`, `windowSeconds` (60) and "
        "`enforcementMode` (HARD refuses, SOFT only says so), or with `unlimited: true`.",
        examples=[[_LIMIT]],
    )


class MarginLevelBody(Body):
    """How far to restrict a customer."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"level": "L2_THROTTLE", "throttleRate": 25, "reason": "costs more than it pays"}
        }
    )

    level: str | None = Field(None, description="NONE, L1_ALERT, L2_THROTTLE or L3_BLOCK.")
    throttle_rate: int | None = Field(
        None, description="Percent of requests let through at L2; 50 if left out."
    )
    retry_after_seconds: int | None = Field(None, description="1800 if left out.")
    message: str | None = Field(None, description="What the customer is told.")
    reason: str | None = Field(None, description="For the audit log.")


class KillBody(Body):
    """Why."""

    reason: str | None = Field(None, examples=["an agent in a loop"])


def request_limit_routes(door: Door) -> APIRouter:
    """/api/v1/request-limits: of all keys together, of each key, of keys on a plan, of one key."""
    router = managed_router("/api/v1/request-limits", "request limits")

    @router.get("")
    def listing(call: Annotated[Call, Depends(door.read(Area.SETTINGS))]) -> Response:
        """All that were set, by scope and target."""
        return call.listing(lambda tx, query: RequestLimits(tx).page(query), _limits)

    _scope_routes(router, door, "/tenant", TENANT, "all keys together")
    _scope_routes(router, door, "/each-key", EACH_KEY, "each key by itself")
    _target_routes(router, door, "/plans", PLAN, "each key of customers on the plan")
    _target_routes(router, door, "/keys", KEY, "the key, in place of what its plan says")
    return router


def _scope_routes(router: APIRouter, door: Door, path: str, scope: str, whose: str) -> None:
    @router.get(path, description=f"Limits of {whose}.", operation_id=f"get_request_limits_{scope.lower()}")
    def get(call: Annotated[Call, Depends(door.read(Area.SETTINGS))]) -> Response:
        return call.read(lambda tx: _limits(RequestLimits(tx).get(scope)))

    @router.put(
        path,
        description=f"Replace the limits of {whose}.",
        operation_id=f"put_request_limits_{scope.lower()}",
    )
    def put(body: RequestLimitsBody, call: Annotated[Call, Depends(door.write(Area.SETTINGS))]) -> Response:
        return call.write(
            lambda tx: _limits(RequestLimits(tx).replace(body.sent(), scope, expect=call.expect))
        )


def _target_routes(router: APIRouter, door: Door, path: str, scope: str, whose: str) -> None:
    path += "/{target}"

    @router.get(path, description=f"Limits of {whose}.", operation_id=f"get_request_limits_{scope.lower()}")
    def get(target: str, call: Annotated[Call, Depends(door.read(Area.SETTINGS))]) -> Response:
        return call.read(lambda tx: _limits(RequestLimits(tx).get(scope, target)))

    @router.put(
        path,
        description=f"Replace the limits of {whose}.",
        operation_id=f"put_request_limits_{scope.lower()}",
    )
    def put(
        target: str, body: RequestLimitsBody, call: Annotated[Call, Depends(door.write(Area.SETTINGS))]
    ) -> Response:
        return call.write(
            lambda tx: _limits(RequestLimits(tx).replace(body.sent(), scope, target, call.expect))
        )


def margin_level_routes(door: Door) -> APIRouter:
    """/api/v1/margin-levels: how far customers are restricted because serving them costs more than it pays."""
    router = managed_router("/api/v1/margin-levels", "margin levels")

    @router.get("")
    def listing(
        call: Annotated[Call, Depends(door.read(Area.BILLING))],
        level: Literal["NONE", "L1_ALERT", "L2_THROTTLE", "L3_BLOCK"] | None = None,
    ) -> Response:
        """Levels that were set, by customer."""
        return call.listing(lambda tx, query: MarginLevels(tx).page(query, level), _level)

    @router.get("/{customer_id}")
    def get(customer_id: str, call: Annotated[Call, Depends(door.read(Area.BILLING))]) -> Response:
        """The level of a customer."""
        return call.read(lambda tx: _level(MarginLevels(tx).get(customer_id)))

    @router.put("/{customer_id}")
    def put(
        customer_id: str, body: MarginLevelBody, call: Annotated[Call, Depends(door.write(Area.BILLING))]
    ) -> Response:
        """Restrict a customer from now on, at gateways and canAccess; NONE: no more."""
        return call.write(lambda tx: _level(MarginLevels(tx).set(customer_id, body.sent(), call.expect)))

    return router


def session_routes(door: Door) -> APIRouter:
    """/api/v1/killed-sessions: stopping sessions that clients meter with."""
    router = managed_router("/api/v1/killed-sessions", "sessions")

    @router.get("")
    def listing(call: Annotated[Call, Depends(door.read(Area.KEYS))]) -> Response:
        """Sessions that are to be stopped, the newest first."""
        return call.listing(lambda tx, query: KilledSessions(tx).page(query), _session)

    @router.put("/{session_id}")
    def kill(
        session_id: Annotated[str, Path(min_length=1, max_length=512)],
        call: Annotated[Call, Depends(door.write(Area.KEYS))],
        body: KillBody | None = None,
    ) -> Response:
        """Tell whoever meters with the session to stop it, for a day; what it used still counts."""
        sent = {} if body is None else body.sent()
        return call.write(lambda tx: _session(KilledSessions(tx).kill(session_id, sent)))

    return router


def _limits(found: CurrentLimits) -> dict[str, Any]:
    told = {"scope": found.scope, "target_id": found.target, "limits": found.limits}
    return camel({**told, "revision": found.revision, "updated_at": found.updated_at})


def _level(found: CurrentLevel) -> dict[str, Any]:
    told = {"customer_id": found.customer, **written_margin_level(found.level)}
    return camel({**told, "revision": found.revision, "updated_at": found.updated_at})


def _session(row: KilledSessionRow) -> dict[str, Any]:
    names = ("session_id", "reason", "killed_at", "until")
    return camel({name: getattr(row, name) for name in names})
