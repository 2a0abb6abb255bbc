"""canAccess and entitlements. Put here: asking hot state and spelling the answer. Keep out: the decision itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import msgspec
from fastapi import FastAPI, Request, Response

from api.edge.auth import authenticate, require_tenant
from api.edge.bodies import decode_object, read_body
from api.edge.service import EdgeService
from api.problems import FieldError, Problem
from domain.access import ACCESS, CustomerRights, KeyRecord
from domain.entitlement import Decision, Grant, decide, decide_one, grants_of, summary
from domain.instant import iso
from domain.usage import CUSTOMER_NAMES
from storage import hot_state

_FEATURE_NAMES = ("featureKey", "feature", "feature_key", "metricName", "metricKey", "metric_id")
_BODY_LIMIT = 64 * 1024
_encode = msgspec.json.Encoder(decimal_format="number").encode
_REQUEST = {
    "type": "object",
    "properties": {
        name: {"type": "string"} for name in ("featureKey", "metricName", "customerId", "tenantId")
    },
}


def add_access_routes(app: FastAPI, service: EdgeService) -> None:
    """POST /v1/canAccess and GET /v1/entitlements."""
    body = {"required": True, "content": {"application/json": {"schema": _REQUEST}}}

    @app.post("/v1/canAccess", tags=["access"], response_model=None, openapi_extra={"requestBody": body})
    async def can_access(request: Request) -> Response:
        """May this customer use this feature now? Usage counts as soon as its event is accepted; nothing is reserved."""
        key = await authenticate(service, request, ACCESS)
        asked = decode_object(await read_body(request, _BODY_LIMIT))
        require_tenant(key, _first(asked, ("tenantId", "tenant_id")), "tenantId")
        wanted = _first(asked, _FEATURE_NAMES)
        if wanted is None:
            raise _missing("featureKey", "send the key of a feature, or metricName for a billable unit")
        customer = _customer(key, _first(asked, CUSTOMER_NAMES))
        rights, grants = await _grants(service, key, customer, wanted)
        counted = await _counted(service, key, customer, grants)
        return _json(_answer(wanted, decide(rights, grants, counted), rights))

    @app.get("/v1/entitlements", tags=["access"], response_model=None)
    async def entitlements(request: Request) -> Response:
        """Everything this customer may use, with quotas and what is left of them."""
        key = await authenticate(service, request, ACCESS)
        query = dict(request.query_params)
        require_tenant(key, _first(query, ("tenantId", "tenant_id")), "tenantId")
        customer = _customer(key, _first(query, CUSTOMER_NAMES))
        rights, grants = await _grants(service, key, customer, None)
        counted = await _counted(service, key, customer, grants)
        plans = [s.plan for s in rights.subscriptions] if rights else []
        held = [_spelled(decide_one(grant, counted)) for grant in grants]
        return _json(
            {
                "customerId": customer,
                "plan": plans[0] if plans else None,
                "plans": plans,
                "entitlements": held,
            }
        )


async def _grants(
    service: EdgeService, key: KeyRecord, customer: str, wanted: str | None
) -> tuple[CustomerRights | None, list[Grant]]:
    view = await service.known.tenant(key.tenant_id)
    rights = (await service.known.rights(view, [customer])).get(customer)
    return rights, grants_of(rights, view.units, service.stamp(), wanted) if rights else []


async def _counted(
    service: EdgeService, key: KeyRecord, customer: str, grants: Iterable[Grant]
) -> dict[str, int]:
    """The counters behind the grants in one round trip, none where nothing is counted."""
    fields = [grant.counter for grant in grants if grant.counter is not None]
    if not fields:
        return {}
    usage = hot_state.usage_key(key.tenant_id, customer)
    found: list[bytes | None] = await cast(Any, service.redis.hmget(usage, fields))
    return {field: int(amount or 0) for field, amount in zip(fields, found, strict=True)}


def _customer(key: KeyRecord, sent: str | None) -> str:
    """The customer asked about. A customer's key asks for that customer alone."""
    if key.customer_id is None and sent is None:
        raise _missing("customerId", "this API key belongs to the whole tenant")
    if key.customer_id is not None and sent not in (None, key.customer_id):
        raise Problem(
            403, f"customerId: {sent!r} is not the customer of this API key.", code="CUSTOMER_MISMATCH"
        )
    return sent or key.customer_id or ""


def _first(asked: dict[str, Any], names: tuple[str, ...]) -> str | None:
    for name in names:
        value = asked.get(name)
        if value is None or value == "":
            continue
        if not isinstance(value, str):
            wrong = FieldError(name, f"{value!r} is not text", "SCHEMA_INVALID")
            raise Problem(422, f"{name}: {value!r} is not text.", code="SCHEMA_INVALID", errors=[wrong])
        return value
    return None


def _missing(name: str, hint: str) -> Problem:
    error = FieldError(name, f"is missing; {hint}", "SCHEMA_INVALID")
    return Problem(422, f"{name}: is missing; {hint}.", code="SCHEMA_INVALID", errors=[error])


def _answer(wanted: str, decision: Decision, rights: CustomerRights | None) -> dict[str, Any]:
    """Both spellings in use among clients: camel and snake, short and long."""
    spelled = _spelled(decision)
    spelled["feature"] = decision.feature or wanted
    spelled["entitlements"] = summary(rights) if rights else {}
    return spelled


def _spelled(decision: Decision) -> dict[str, Any]:
    resets_at = None if decision.resets_at is None else iso(decision.resets_at)
    return {
        "allowed": decision.allowed,
        "feature": decision.feature,
        "type": decision.type,
        "value": decision.value,
        "plan": decision.plan,
        "quota": decision.quota,
        "used": decision.used,
        "remaining": decision.remaining,
        "remaining_quota": decision.remaining,
        "reset_at": resets_at,
        "quota_reset": resets_at,
        "reason": decision.reason,
    }


def _json(body: dict[str, Any]) -> Response:
    return Response(_encode(body), media_type="application/json")
