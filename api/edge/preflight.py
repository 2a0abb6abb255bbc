"""What gateways ask before they let a request through. Put here: quota, margin guard, revoked tokens. Keep out: the decisions."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

from fastapi import FastAPI, Request, Response

from api.edge.access import TENANT_NAMES, customer_of, first, to_json, unknown, wrong
from api.edge.asking import Asked, Caller, answered
from api.edge.auth import require_tenant
from api.edge.bodies import decode_object, read_body
from api.edge.service import EdgeService
from domain import limits
from domain.access import ACCESS, METER, MarginLevel
from domain.entitlement import INSUFFICIENT_BALANCE, Decision, decide_one
from domain.instant import iso
from domain.quantity import NotAQuantity, to_quantity
from domain.usage import CUSTOMER_NAMES, UNIT_NAMES
from storage import hot_state

ALLOW, DENY, WARN = "ALLOW", "DENY", "WARN"
_BODY_LIMIT = 64 * 1024
_NEARLY = Decimal("0.8")
_LONGEST_WAIT_MS = 86_400_000
_NAMES = ("customerId", "metricName", "estimatedQuantity")
_REQUEST = {"type": "object", "properties": {name: {"type": ["string", "number", "null"]} for name in _NAMES}}


def add_preflight_routes(app: FastAPI, service: EdgeService) -> None:
    """POST /api/v1/quota/check, GET /internal/v1/margin-guard/quick-check and /internal/v1/auth/token-check."""
    body = {"required": True, "content": {"application/json": {"schema": _REQUEST}}}
    doors = (ACCESS, METER)

    @app.post(
        "/api/v1/quota/check", tags=["access"], response_model=None, openapi_extra={"requestBody": body}
    )
    async def quota_check(request: Request) -> Response:
        """ALLOW, WARN or DENY this customer's next use of a unit, or of anything where no unit is named."""
        sent = await read_body(request, _BODY_LIMIT, service.body_patience)
        return await answered(
            service, request, doors, limits.ACCESS, lambda caller: _quota(caller, sent), gateway=True
        )

    @app.get("/internal/v1/margin-guard/quick-check", tags=["access"], response_model=None)
    async def margin_check(request: Request) -> Response:
        """How far a customer is restricted because serving it costs more than it pays."""
        return await answered(service, request, doors, limits.ACCESS, _margin, gateway=True)

    @app.get("/internal/v1/auth/token-check", tags=["access"], response_model=None)
    async def token_check(request: Request) -> Response:
        """Whether a token (`jti`), or every token of a key (`keyId`), was revoked."""
        query = request.query_params
        names = [hot_state.blocked_token_key(jti) for jti in query.getlist("jti")[:1] if jti]
        names += [hot_state.blocked_client_key(key) for key in query.getlist("keyId")[:1] if key]
        pipeline = service.redis.pipeline(transaction=False)
        for name in names:
            pipeline.exists(name)
        return to_json({"revoked": any(await pipeline.execute()) if names else False})


async def _quota(caller: Caller, sent: bytes) -> Response:
    asked = decode_object(sent)
    require_tenant(caller.key, first(asked, TENANT_NAMES), "tenantId")
    wanted, customer = first(asked, UNIT_NAMES), customer_of(caller.key, first(asked, CUSTOMER_NAMES))
    amount = _amount(asked.get("estimatedQuantity"))
    [answer] = await caller.ask([(customer, wanted)])
    decision = _decision(caller, answer, wanted, amount)
    verdict, reason = _verdict(decision, amount)
    body: dict[str, Any] = {"decision": verdict, "reason": reason, "tierName": decision.plan}
    if decision.quota is not None:
        body |= {"currentUsage": decision.used, "limit": decision.quota, "remaining": decision.remaining}
    if decision.resets_at is not None:
        body["resetsAt"] = iso(decision.resets_at)
    if verdict == DENY:
        body["retryAfterMs"] = _wait_ms(decision)
    if verdict == WARN:
        body["headers"] = {"X-RateLimit-Warning": "approaching-limit"}
    if decision.balance is not None:
        body["balance"] = decision.balance
    return to_json(body | ({"stale": True} if caller.stale else {}))


def _decision(caller: Caller, answer: Asked, wanted: str | None, amount: Decimal) -> Decision:
    """Without a unit: whether the customer may use anything at all; the quota nearest to its end says so."""
    if not answer.known:
        return unknown(caller)
    decision = answer.decision()
    if wanted is not None or not answer.grants or not decision.allowed:
        return decision
    found = answer.found
    metered = [decide_one(grant, found.counted, found.held) for grant in answer.grants]
    limited = [each for each in metered if each.quota is not None and each.remaining is not None]
    return min(limited, key=lambda each: (each.remaining or 0) / (each.quota or 1), default=decision)


def _amount(sent: Any) -> Decimal:
    if sent is None:
        return Decimal(1)
    try:
        return to_quantity(sent)
    except NotAQuantity as error:
        raise wrong("estimatedQuantity", str(error)) from None


def _verdict(decision: Decision, amount: Decimal) -> tuple[str, str]:
    if not decision.allowed:
        return DENY, decision.reason
    if decision.reason == "SOFT_LIMIT_EXCEEDED":
        return WARN, decision.reason
    if decision.quota is not None and decision.remaining is not None:
        if decision.reason == "QUOTA_LEFT" and amount > decision.remaining and decision.hard:
            return DENY, "QUOTA_EXCEEDED"
        if decision.quota - decision.remaining + amount >= decision.quota * _NEARLY:
            return WARN, "APPROACHING_LIMIT"
    return ALLOW, decision.reason


def _wait_ms(decision: Decision) -> int:
    """Until there may be quota again; a minute where that does not follow from a period."""
    if decision.resets_at is None or decision.reason == INSUFFICIENT_BALANCE:
        return 60_000
    return max(1, min(decision.resets_at // 1000 - time.time_ns() // 1_000_000, _LONGEST_WAIT_MS))


async def _margin(caller: Caller) -> Response:
    query = dict(caller.request.query_params)
    require_tenant(caller.key, first(query, TENANT_NAMES), "tenantId")
    kind = query.get("scopeType", "CUSTOMER")
    if kind != "CUSTOMER":
        raise wrong("scopeType", f"{kind!r} is not known; CUSTOMER is")
    customer = customer_of(caller.key, first(query, ("scopeId", *CUSTOMER_NAMES)))
    [asked] = await caller.ask([(customer, None)])
    level = asked.margin or MarginLevel()
    body: dict[str, Any] = {"allowed": level.level != "L3_BLOCK", "level": level.level}
    if level.level == "L2_THROTTLE":
        body["throttleRate"] = level.throttle_rate
    if level.level in ("L2_THROTTLE", "L3_BLOCK"):
        body["retryAfterSeconds"] = level.retry_after
    if level.message:
        body["message"] = level.message
    return to_json(body | ({"stale": True} if caller.stale else {}))
