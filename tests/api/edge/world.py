"""The world of the edge's tests: a tenant, its units, its customer acme and three keys. Keep out: fixtures."""

from __future__ import annotations

import time
from hashlib import sha256

import httpx

from api.edge.app import create_app
from api.edge.settings import EdgeSettings
from domain.access import (
    CustomerRights,
    Feature,
    FilterCondition,
    KeyRecord,
    SubscriptionRights,
    TenantRights,
    UnitRecord,
)
from domain.instant import DAY

TENANT_KEY = "sk_live_tenant"
CUSTOMER_KEY = "sk_live_acme"


def sha(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()


UNITS = (
    UnitRecord("api_calls", "API Calls", "COUNT"),
    UnitRecord("tokens", "Tokens", "SUM"),
    UnitRecord("seats", "Seats", "MAX"),
    UnitRecord("users", "Active Users", "UNIQUE", event_field="user_id"),
    UnitRecord("refunds", "Refunds", "SUM", allow_negative=True),
    UnitRecord("latency", "Latency", "PERCENTILE_95"),
    UnitRecord("errors", "Errors", "COUNT", filters=(FilterCondition("status", "GREATER_THAN", "399"),)),
)
FEATURES = (
    Feature("sso", "BOOLEAN"),
    Feature("audit", "BOOLEAN", enabled=False),
    Feature("region", "STATIC", value="eu"),
    Feature("calls", "METERED", unit="api_calls", limit="3"),
    Feature("words", "METERED", unit="tokens", limit="10.5", hard=False),
    Feature("people", "METERED", unit="users", limit="2"),
)


def acme() -> CustomerRights:
    now = time.time_ns() // 1000
    subscription = SubscriptionRights(
        "sub_1", "pro", "pro-plan", "ACTIVE", ((now - 20 * DAY, now + 10 * DAY),), FEATURES,
        ("api_calls", "tokens", "seats", "users", "refunds", "latency", "errors"),
    )  # fmt: skip
    return CustomerRights("acme", (subscription,))


def rights() -> TenantRights:
    keys = {
        sha(TENANT_KEY): KeyRecord("key_tenant", "t1", None),
        sha(CUSTOMER_KEY): KeyRecord("key_acme", "t1", "acme"),
    }
    return TenantRights("t1", UNITS, (acme(), CustomerRights("idle")), keys)


def serving(redis_url: str, **settings: object) -> httpx.AsyncClient:
    """A client of an edge. It waits longer for Redis than a real one, so that a busy machine is not taken for an outage."""
    settings = {"access_seconds": 5.0} | settings
    app = create_app(EdgeSettings(redis_url=redis_url, **settings))  # type: ignore[arg-type]
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app),
        base_url="http://edge",
        headers={"Authorization": f"Bearer {TENANT_KEY}"},
    )


def event(key: str | None = "k1", **fields: object) -> dict[str, object]:
    """A good event of acme; fields replace its own, None leaves one out."""
    good = {"customerId": "acme", "metricName": "api_calls", "quantity": 1, "idempotencyKey": key}
    return {name: value for name, value in (good | fields).items() if value is not None}
