"""canAccess and entitlements. Put here: reading the question and spelling the answer. Keep out: asking, the decision itself."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from fastapi import FastAPI, Request, Response

from api.edge.again import Again, Before
from api.edge.asking import STALE_CLOSED, STALE_OPEN, Asked, Caller, answered
from api.edge.auth import require_tenant
from api.edge.bodies import Json, decode_object, read_body
from api.edge.service import EdgeService
from api.exact_json import encode
from api.problems import FieldError, Problem
from domain import limits
from domain.access import ACCESS, METER, KeyRecord
from domain.entitlement import Decision, decide_one
from domain.instant import iso
from domain.usage import CUSTOMER_NAMES

TENANT_NAMES = ("tenantId", "tenant_id")
_FEATURE_NAMES = ("featureKey", "feature", "feature_key", "metricName", "metricKey", "metric_id")
_BODY_LIMIT = 64 * 1024
_MOST = 500
_iso = lru_cache(10_000)(iso)
_TEXT = {"type": "string"}
_QUESTION: dict[str, Any] = {
    "type": "object",
    "properties": dict.fromkeys(("featureKey", "metricName", "customerId", "tenantId"), _TEXT),
}
_REQUEST = {
    "type": "object",
    "properties": _QUESTION["properties"]
    | {
        "featureKeys": {"type": "array", "items": _TEXT},
        "checks": {"type": "array", "items": _QUESTION, "maxItems": _MOST},
    },
}


def add_access_routes(app: FastAPI, service: EdgeService) -> None:
    """POST /v1/canAccess, GET /v1/entitlements, GET /v1/check/{tenantId}."""
    again = Again(service)
    body = {"required": True, "content": {"application/json": {"schema": _REQUEST}}}

    @app.post("/v1/canAccess", tags=["access"], response_model=None, openapi_extra={"requestBody": body})
    async def can_access(request: Request) -> Response:
        """May this customer use this feature now? Usage counts as soon as its event is accepted; nothing is reserved.

        With `featureKeys`, or `checks` of several customers, the answers are in `results`, in order."""
        sent = await read_body(request, _BODY_LIMIT, service.body_patience)
        return again.answer(request, sent) or await answered(
            service, request, (ACCESS,), limits.ACCESS, lambda caller: _can_access(caller, sent, again)
        )

    @app.get("/v1/entitlements", tags=["access"], response_model=None)
    async def entitlements(request: Request) -> Response:
        """Everything this customer may use, with quotas and what is left of them."""
        return await answered(service, request, (ACCESS,), limits.ENTITLEMENTS, _entitlements)

    @app.get("/v1/check/{tenantId}", tags=["access"], response_model=None)
    async def check(tenantId: str, request: Request) -> Response:
        """May the customer of this key call at all? `X-Product-Id` may name a feature or unit it is asked for."""
        return await answered(
            service, request, (ACCESS, METER), limits.ACCESS, lambda caller: _check(caller, tenantId)
        )


async def _can_access(caller: Caller, sent: bytes, again: Again) -> Response:
    asked = decode_object(sent)
    if "checks" in asked or "featureKeys" in asked:
        answers = await caller.ask([_question(caller.key, each) for each in _many(asked)])
        return to_json({"results": [_answer(caller, each) for each in answers]} | _stale(caller))
    [found] = await caller.ask([_question(caller.key, asked)])
    answer = encode(_answer(caller, found))
    if not caller.stale:
        _remember(again, caller, sent, found, answer)
    return Json(answer)


def _remember(again: Again, caller: Caller, sent: bytes, asked: Asked, answer: bytes) -> None:
    """What grants nothing is not remembered: anybody can make up names."""
    view = caller.view()
    if asked.entitled is None or not asked.grants or view is None:
        return
    windows = caller.service.limits(caller.key, view, caller.door)
    before = Before(caller.key, view, asked.customer, asked.entitled, asked.found, windows, answer)
    again.keep(caller.request, sent, before)


def _many(asked: dict[str, Any]) -> list[dict[str, Any]]:
    """The questions of one request, each complete."""
    common = {name: value for name, value in asked.items() if name not in ("checks", "featureKeys")}
    for name, list_of in (("checks", dict), ("featureKeys", str)):
        found = asked.get(name)
        if found is None:
            continue
        if not isinstance(found, list) or not all(isinstance(each, list_of) for each in found):
            raise wrong(name, "is not a list of " + ("questions" if name == "checks" else "feature keys"))
        if len(found) > _MOST:
            raise wrong(name, f"has {len(found)} questions; at most {_MOST} fit into one request")
        return [common | (each if isinstance(each, dict) else {"featureKey": each}) for each in found]
    raise wrong("checks", "is missing")


def _question(key: KeyRecord, asked: dict[str, Any]) -> tuple[str, str]:
    require_tenant(key, first(asked, TENANT_NAMES), "tenantId")
    wanted = first(asked, _FEATURE_NAMES)
    if wanted is None:
        raise wrong("featureKey", "is missing; send the key of a feature, or metricName for a billable unit")
    return customer_of(key, first(asked, CUSTOMER_NAMES)), wanted


async def _entitlements(caller: Caller) -> Response:
    query = dict(caller.request.query_params)
    require_tenant(caller.key, first(query, TENANT_NAMES), "tenantId")
    customer = customer_of(caller.key, first(query, CUSTOMER_NAMES))
    [asked] = await caller.ask([(customer, None)])
    plans = [s.plan for s in asked.rights.subscriptions] if asked.rights else []
    found = asked.found
    held = [spelled(decide_one(grant, found.counted, found.held)) for grant in asked.grants]
    plan = plans[0] if plans else None
    return to_json(
        {"customerId": customer, "plan": plan, "plans": plans, "entitlements": held} | _stale(caller)
    )


async def _check(caller: Caller, tenant_id: str) -> Response:
    require_tenant(caller.key, tenant_id, "tenantId")
    customer = first(dict(caller.request.query_params), CUSTOMER_NAMES) or caller.key.customer_id
    if customer is None:  # a tenant's own key: it is live, or it would not have come so far
        return to_json({"allowed": True, "tenantId": tenant_id, "reason": "ALLOWED"} | _stale(caller))
    customer = customer_of(caller.key, customer)
    [asked] = await caller.ask([(customer, caller.request.headers.get("x-product-id"))])
    answer = _answer(caller, asked)
    if not asked.grants and asked.rights and asked.rights.subscriptions:
        # Products are not what is entitled: whoever has a live subscription may call.
        answer |= {"allowed": True, "reason": "ALLOWED"}
    return to_json(answer | {"tenantId": tenant_id, "customerId": customer})


def _stale(caller: Caller) -> dict[str, Any]:
    return {"stale": True} if caller.stale else {}


def _answer(caller: Caller, asked: Asked) -> dict[str, Any]:
    """Both spellings in use among clients: camel and snake, short and long."""
    decision = asked.decision() if asked.known else unknown(caller)
    answer = spelled(decision)
    answer["feature"] = decision.feature or asked.wanted
    answer["entitlements"] = asked.entitled.summary if asked.entitled else {}
    if decision.reserved is not None:
        answer["reserved"] = decision.reserved
    if decision.balance is not None:
        answer["balance"] = decision.balance
    if asked.margin is not None:
        answer["marginLevel"] = asked.margin.level
    if caller.stale:
        answer["stale"] = True
    return answer


def unknown(caller: Caller) -> Decision:
    """Of whom nothing is known while Redis is gone: as the setting says."""
    is_open = caller.service.settings.fail_open
    return Decision(is_open, STALE_OPEN if is_open else STALE_CLOSED)


def customer_of(key: KeyRecord, sent: str | None) -> str:
    """The customer asked about. A customer's key asks for that customer alone."""
    if key.customer_id is None and sent is None:
        raise wrong("customerId", "is missing; this API key belongs to the whole tenant")
    if key.customer_id is not None and sent not in (None, key.customer_id):
        raise Problem(
            403, f"customerId: {sent!r} is not the customer of this API key.", code="CUSTOMER_MISMATCH"
        )
    return sent or key.customer_id or ""


def first(asked: dict[str, Any], names: tuple[str, ...]) -> str | None:
    for name in names:
        value = asked.get(name)
        if value is None or value == "":
            continue
        if not isinstance(value, str):
            raise wrong(name, f"{value!r} is not text")
        return value
    return None


def wrong(name: str, what: str) -> Problem:
    """A 422 about one field."""
    error = FieldError(name, what, "SCHEMA_INVALID")
    return Problem(422, f"{name}: {what}.", code="SCHEMA_INVALID", errors=[error])


def spelled(decision: Decision) -> dict[str, Any]:
    resets_at = None if decision.resets_at is None else _iso(decision.resets_at)
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


def to_json(body: dict[str, Any]) -> Response:
    return Json(encode(body))
