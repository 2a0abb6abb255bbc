"""One of every noun, made over HTTP: for tests that walk all routes. Put here: how to make one, per path. Keep out: assertions.

A noun whose routes take an id belongs into MAKERS; `test_every_id_has_an_example` says when one is missing.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from sqlalchemy import insert

from storage.database import session_scope
from storage.lake import Lake
from storage.tables.corrections import ReplayRow
from storage.tables.invoices import InvoiceRow
from tests.api.control.conftest import Api
from tests.transforms.event_rows import gated, raw_event, raws

CUSTOMER = {"name": "Ann", "email": "ann@x.example", "plan": "STANDARD", "defaultCurrency": "USD"}
GATEWAY = {
    "gatewayType": "STRIPE",
    "displayName": "Stripe",
    "apiKey": "k",
    "publicKey": "p",
    "webhookSecret": "w",
    "primary": True,
}
COUPON = {"name": "Welcome", "discountType": "PERCENTAGE", "discountValue": 0.1, "duration": "ONCE"}
SOURCE = {
    "name": "Shop",
    "signatureAlgorithm": "hmac-sha256",
    "customerIdPath": "$.c",
    "metricKeyPath": "$.m",
    "quantityPath": "$.q",
}
TAX_RATE = {"name": "VAT", "country": "DE", "ratePercent": 19, "validFrom": "2999-01-01"}
FX_RATE = {"from": "USD", "to": "EUR", "day": "2999-01-01", "rate": "0.92"}
MONTH = {"billingPeriodStart": "2023-11-01T00:00:00Z", "billingPeriodEnd": "2023-12-01T00:00:00Z"}

Maker = Callable[["World"], str]


class World:
    """Makes nouns for one tenant, each once; `world["/api/v1/customers"]` is the id of its customer."""

    def __init__(self, api: Api, tenant: str) -> None:
        self.api = api
        self.tenant = tenant
        self._ids: dict[str, str] = {}

    def __getitem__(self, path: str) -> str:
        if path not in self._ids:
            self._ids[path] = MAKERS[path](self)
        return self._ids[path]

    def made(self, path: str, body: dict[str, Any]) -> str:
        found: str = self.api.made(path, body, tenant=self.tenant)["id"]
        return found


def _plain(path: str, **body: Any) -> Maker:
    return lambda world: world.made(path, body)


def _of_customer(path: str, **body: Any) -> Maker:
    return lambda world: world.made(path, {**body, "customerId": world["/api/v1/customers"]})


def _plan(world: World) -> str:
    unit = world["/api/v1/metrics"]
    prices = [{"metricId": unit, "model": "PER_UNIT", "rate": 0.01}]
    return world.made(
        "/api/v1/rateplans", {"name": "Pro", "currency": "USD", "baseFee": 9, "metricConfigs": prices}
    )


def _offering(world: World) -> str:
    body = {"code": "pro", "name": "Pro", "type": "STANDALONE", "status": "ACTIVE", "currency": "USD"}
    return world.made("/api/v1/offerings", {**body, "primaryRatePlanId": world["/api/v1/rateplans"]})


def _subscription(world: World) -> str:
    about = {"offeringId": world["/api/v1/offerings"], "customerId": world["/api/v1/customers"]}
    return world.made(
        "/api/v1/subscriptions", {**about, "billingCycle": "MONTHLY", "startDate": "2026-01-01"}
    )


def _api_key(world: World) -> str:
    body = {"customerId": world["/api/v1/customers"], "subscriptionIds": [world["/api/v1/subscriptions"]]}
    app = {"accessorId": world["/api/v1/apps"], "accessorType": "APP"}
    return world.made("/api/v1/api-keys", {**body, **app, "name": "k", "environment": "live"})


def _payment_method(world: World) -> str:
    _ = world["/api/v1/payment-gateways"]
    body = {"customerId": world["/api/v1/customers"], "gatewayToken": "pm_card_visa", "methodType": "CARD"}
    return world.made("/api/v1/payment-methods", body)


def _hold(world: World) -> str:
    world.api.made(f"/api/v1/wallets/{world['/api/v1/wallets']}/top-up", {"amount": 5}, tenant=world.tenant)
    return world.made("/v1/wallets/holds", {"customer_id": world["/api/v1/customers"], "amount": 1})


def _invoice(world: World) -> str:
    zero = dict.fromkeys(("subtotal", "discount", "tax", "total", "wallet_amount", "amount_due"), Decimal(0))
    about = {
        "tenant_id": world.tenant,
        "id": f"inv_{secrets.token_hex(4)}",
        "number": "INV-1",
        "month": "2023-11",
    }
    period = {"period_start": "2023-11-01T00:00:00Z", "period_end": "2023-12-01T00:00:00Z", "lines": 0}
    rest = {
        "customer_id": "ann",
        "billing_entity": "default",
        "currency": "USD",
        "content_hash": "x",
        "status": "DRAFT",
    }
    with session_scope(world.api.database_url) as session:
        session.execute(insert(InvoiceRow), {**about, **period, **rest, **zero, "withdrawn": False})
    return about["id"]


def _credit_note(world: World) -> str:
    lines = [{"description": "Workshop", "amount": 90}]
    body = {"customerId": world["/api/v1/customers"], "lines": lines}
    invoice = world.made("/api/v1/invoices", body)
    world.api.made(f"/api/v1/invoices/{invoice}/finalize", tenant=world.tenant)
    return world.made("/api/v1/credit-notes", {"invoiceId": invoice, "amount": 9, "reason": "GOODWILL"})


def _replay(world: World) -> str:
    about = {
        "tenant_id": world.tenant,
        "id": f"rpy_{secrets.token_hex(8)}",
        "month": "2023-11",
        "source": "REPLAY",
    }
    rest = {
        "status": "PROPOSED",
        "content_hash": secrets.token_hex(32),
        "code_version": "0",
        "differences": [],
    }
    with session_scope(world.api.database_url) as session:
        session.execute(insert(ReplayRow), {**about, **rest})
    return about["id"]


def _event(world: World) -> str:
    """An accepted event in the lake, which outlives the test: its key is its own."""
    key = f"evt_{secrets.token_hex(8)}"
    kept, _ = gated(raws(raw_event(key, 8, tenant_id=world.tenant), first=secrets.randbelow(2**40)))
    Lake(str(world.api.home / "lake")).cursor("validated_events").append(kept, markers={})
    return key


MAKERS: dict[str, Maker] = {
    "/api/v1/customers": _plain("/api/v1/customers", **CUSTOMER),
    "/api/v1/metrics": _plain("/api/v1/metrics", key="calls", name="Calls", aggregationType="COUNT"),
    "/api/v1/products": _plain("/api/v1/products", name="Bot", type="AI_AGENT"),
    "/api/v1/rateplans": _plan,
    "/api/v1/rate-plans": lambda world: world["/api/v1/rateplans"],
    "/api/v1/offerings": _offering,
    "/api/v1/subscriptions": _subscription,
    "/api/v1/internal/subscriptions": lambda world: world["/api/v1/subscriptions"],
    "/internal/v1/subscriptions": lambda world: world["/api/v1/subscriptions"],
    "/api/v1/api-keys": _api_key,
    "/api/v1/operator-keys": _plain("/api/v1/operator-keys", name="CI", role="VIEWER"),
    "/api/v1/coupons": _plain("/api/v1/coupons", code="WELCOME", **COUPON),
    "/api/v1/wallets": _of_customer("/api/v1/wallets", currency="USD"),
    "/api/v1/wallets/by-customer": lambda world: (world["/api/v1/wallets"], world["/api/v1/customers"])[1],
    "/v1/wallets/holds": _hold,
    "/api/v1/payment-gateways": _plain("/api/v1/payment-gateways", **GATEWAY),
    "/api/v1/payment-methods": _payment_method,
    "/api/v1/payment-methods/by-customer": lambda world: (
        world["/api/v1/payment-methods"],
        world["/api/v1/customers"],
    )[1],
    "/api/v1/webhook-sources": lambda world: world.made(
        "/api/v1/webhook-sources", {**SOURCE, "tenantId": world.tenant}
    ),
    "/api/v1/billing-entities": _plain(
        "/api/v1/billing-entities", code="EU", displayName="EU", baseCurrency="EUR"
    ),
    "/api/v1/teams": _of_customer("/api/v1/teams", name="Research"),
    "/api/v1/apps": _of_customer("/api/v1/apps", name="Shop"),
    "/api/v1/agents": _of_customer("/api/v1/agents", name="Helper", agentType="CLAUDE"),
    "/api/v1/invoices": _invoice,
    "/api/v1/credit-notes": _credit_note,
    "/api/v1/replays": _replay,
    "/api/v1/events": _event,
    "/api/v1/bill-runs": _plain("/api/v1/bill-runs", **MONTH),
    "/api/v1/tax-rates": _plain("/api/v1/tax-rates", **TAX_RATE),
    "/api/v1/fx-rates": _plain("/api/v1/fx-rates", **FX_RATE),
    "/api/v1/request-limits/plans": lambda world: world["/api/v1/rateplans"],
    "/api/v1/request-limits/keys": lambda world: world["/api/v1/api-keys"],
    "/api/v1/margin-levels": lambda world: world["/api/v1/customers"],
}
"""Path before the id to what makes one."""

NO_TENANTS_OWN = {
    "/api/v1/internal/tenants",
    "/api/v1/metrics/templates",
    "/api/v1/killed-sessions",
}
"""Paths whose id is not a thing of one tenant."""
