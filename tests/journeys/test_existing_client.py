"""The whole management API as a client written for it walks it, over a real connection: what it sends, what it reads.

A client asks in this order: its tenant, who bills, what is sold, who buys, with which key and which money, and then the bill.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from storage.secret_files import operator_token
from tests.loopback import control_door

PLAN = {
    "name": "Pro",
    "description": "For teams",
    "pricingModel": "GRADUATED",
    "currency": "USD",
    "baseFee": 49,
    "productIds": [],
    "metricConfigs": [
        {
            "model": "GRADUATED",
            "rate": 0,
            "includedFree": 1000,
            "billingTiming": "ARREARS",
            "ovBehavior": "CHARGE",
            "tiers": [
                {"tierStart": 0, "tierEnd": 10000, "unitPrice": 0.001, "flatFee": 0, "sortOrder": 0},
                {"tierStart": 10000, "tierEnd": -1, "unitPrice": 0.0008, "flatFee": 0, "sortOrder": 1},
            ],
        }
    ],
}
WEBHOOKS = {
    "name": "Shop",
    "description": "Orders",
    "signatureHeader": "X-Shop-Signature",
    "signatureAlgorithm": "hmac-sha256",
    "customerIdPath": "$.customer",
    "metricKeyPath": "$.type",
    "quantityPath": "$.quantity",
    "timestampPath": "$.at",
}
NOVEMBER = {
    "billingPeriodStart": "2023-11-01T00:00:00Z",
    "billingPeriodEnd": "2023-12-01T00:00:00Z",
    "billingPeriodLabel": "November 2023",
    "targetScope": "ALL",
    "autoFinalize": False,
    "environment": "LIVE",
    "notes": "first",
}


class Client:
    """Speaks as the clients do: a bearer token, a tenant header, an Idempotency-Key on each POST; it unwraps what says `success`."""

    def __init__(self, base: str, token: str) -> None:
        self.http = httpx.Client(base_url=base, headers={"Authorization": f"Bearer {token}"}, timeout=30)
        self._number = itertools.count(1)
        self.seen: set[tuple[str, int]] = set()

    def send(self, method: str, path: str, body: Any = None, *, status: int) -> httpx.Response:
        headers = {"Idempotency-Key": f"client-{next(self._number)}"} if method == "POST" else {}
        answer = self.http.request(method, path, json=body, headers=headers)
        assert answer.status_code == status, (method, path, answer.text)
        assert answer.headers["x-request-id"] and answer.headers["x-ratelimit-limit"]
        return answer

    def data(self, method: str, path: str, body: Any = None, *, status: int | None = None) -> Any:
        answer = self.send(method, path, body, status=status or (201 if method == "POST" else 200)).json()
        assert answer["success"] is True and isinstance(answer["meta"], dict)
        return answer["data"]

    def gone(self, path: str) -> None:
        assert self.send("DELETE", path, status=204).content == b""


@pytest.fixture
def client(database_url: str, redis_url: str, home: Path) -> Iterator[Client]:
    with control_door(database_url, redis_url, home) as base:
        yield Client(base, operator_token(home))


def of(found: Any, *names: str) -> dict[str, Any]:
    """The fields a client reads; they must all be there."""
    return {name: found[name] for name in names}


def test_an_existing_client_gets_from_a_tenant_to_a_bill(client: Client) -> None:
    tenant = a_tenant(client)
    somebody_who_bills(client, tenant)
    metric = something_sold(client)
    offerings = prices(client, metric)
    customer = of(
        client.data(
            "POST",
            "/api/v1/customers",
            {"name": "Ann", "email": "ann@x.example", "plan": "STANDARD", "defaultCurrency": "USD"},
        ),
        "id",
        "name",
        "email",
    )
    assert client.data("GET", "/api/v1/customers")[0].items() >= customer.items()
    subscription = a_subscription(client, customer["id"], offerings)
    a_key(client, customer["id"], subscription)
    money(client, customer["id"], subscription)
    changes_of_heart(client, subscription, offerings)
    hard_times(client, subscription)
    a_webhook_source(client, tenant)
    a_bill_run(client)
    everything_goes(client, tenant, customer["id"], subscription, offerings)
    a_look_around(client)


def a_tenant(client: Client) -> str:
    """The first question is also how a client finds out whether its token is good: no `success` around that answer."""
    path = "/api/v1/internal/tenants"
    assert client.send("GET", f"{path}?externalId=crm-1", status=200).json() == {"data": []}
    assert client.http.get(path, headers={"Authorization": "Bearer wrong"}).status_code == 401
    about = {
        "externalId": "crm-1",
        "name": "Acme [EU]",
        "tier": "starter",
        "description": "A test",
        "metadata": {"a": 1},
    }
    made = of(client.data("POST", path, about), "id", "externalId", "name")
    listed = client.send("GET", f"{path}?externalId=crm-1", status=200).json()
    assert "success" not in listed and [of(each, *made) for each in listed["data"]] == [made]
    client.http.headers["X-Tenant-Id"] = made["id"]
    return str(made["id"])


def somebody_who_bills(client: Client, tenant: str) -> None:
    address = {"line1": "1 Main St", "city": "Austin", "region": "TX", "postalCode": "78701", "country": "US"}
    issuer = {"tenantId": tenant, "displayName": "Acme", "baseCurrency": "USD", "countryCode": "US"}
    made = [
        client.data(
            "POST",
            "/internal/v1/billing-entities/provision-default",
            {**issuer, "address": address},
            status=200,
        )
        for _ in range(2)
    ]
    assert made[0]["entityId"] == made[1]["entityId"]
    assert of(made[0], "tenantId", "isDefault") == {"tenantId": tenant, "isDefault": True}
    gateway = {"gatewayType": "STRIPE", "displayName": "Stripe", "apiKey": "a", "publicKey": "p"}
    more = {"webhookSecret": "w", "primary": True, "sandboxMode": True, "supportedCurrencies": ["USD"]}
    found = client.data("POST", "/api/v1/payment-gateways", {**gateway, **more})
    assert found["id"]
    assert of(found, "gatewayType", "primary", "active") == {
        "gatewayType": "STRIPE",
        "primary": True,
        "active": True,
    }


def something_sold(client: Client) -> str:
    about = {"name": "Search API", "description": "Finds", "type": "API", "status": "ACTIVE"}
    refused = client.send("POST", "/api/v1/products", about, status=422).json()
    assert {each["field"] for each in refused["errors"]} == refused["fieldErrors"].keys()
    metadata = {"base_path": "/search", "api_version": "v1"}
    made = of(client.data("POST", "/api/v1/products", {**about, "metadata": metadata}), "id", "name", "type")
    listed = client.data("GET", "/api/v1/products?name=search&productType=API")
    assert [of(each, *made) for each in listed] == [made]
    usual = client.data("GET", "/api/v1/metrics/templates/API")
    read = ("name", "unitLabel", "aggregationType", "eventField", "description", "required")
    names = [of(each, *read)["name"] for each in usual]
    bulk = {"productType": "API", "templateNames": names[:2]}
    some, again = (client.data("POST", "/api/v1/metrics/bulk", bulk, status=200) for _ in range(2))
    every = client.data("POST", "/api/v1/metrics/bulk", {"productType": "API"}, status=200)
    assert [each["id"] for each in some] == [each["id"] for each in again] and len(every) == len(names)
    for each in every:
        assert of(each, "id", "name", "eventField", "aggregationType")["name"] in names
    return str(some[0]["id"])


def prices(client: Client, metric: str) -> list[str]:
    """Three offerings, each dearer than the one before."""
    found = []
    for code, fee in (("pro", 49), ("max", 99), ("top", 149)):
        config = {**PLAN["metricConfigs"][0], "metricId": metric}  # type: ignore[index]
        body = {**PLAN, "name": code.capitalize(), "baseFee": fee, "metricConfigs": [config]}
        plan = of(client.data("POST", "/api/v1/rateplans", body), "id", "name", "version")
        searched = client.data("GET", f"/api/v1/rateplans/search?name={code}")
        assert [of(each, *plan) for each in searched] == [plan]
        about = {"code": code, "name": code, "description": code, "type": "STANDALONE", "status": "ACTIVE"}
        more = {"primaryRatePlanId": plan["id"], "billingMode": "POSTPAID", "currency": "USD", "trialDays": 0}
        made = of(client.data("POST", "/api/v1/offerings", {**about, **more}), "id", "code", "name")
        client.send("POST", "/api/v1/offerings", {**about, **more}, status=409)
        assert made in [of(each, *made) for each in client.data("GET", "/api/v1/offerings")]
        found.append(made["id"])
    return found


def a_subscription(client: Client, customer: str, offerings: list[str]) -> str:
    asked = {
        "offeringId": offerings[0],
        "customerId": customer,
        "billingCycle": "MONTHLY",
        "startDate": "2023-11-01",
    }
    made = client.data("POST", "/api/v1/subscriptions", asked)
    assert of(made, "customerId", "offeringId", "status") == {
        "customerId": customer,
        "offeringId": offerings[0],
        "status": "ACTIVE",
    }
    assert datetime.fromisoformat(made["createdAt"]).tzinfo is not None
    listed = client.data("GET", f"/api/v1/subscriptions?customerId={customer}")
    assert [each["id"] for each in listed] == [made["id"]]
    assert client.data("GET", f"/api/v1/subscriptions/{made['id']}")["id"] == made["id"]
    return str(made["id"])


def a_key(client: Client, customer: str, subscription: str) -> None:
    """One for an app: a bearer token; one for an agent: client credentials. Secrets are told once."""
    read = ("id", "customerId", "accessorId", "accessorType", "credentialType", "status")
    app = client.data("POST", "/api/v1/apps", {"customerId": customer, "name": "Shop"})["id"]
    body = {"customerId": customer, "subscriptionIds": [subscription], "name": "k", "environment": "live"}
    asked = {**body, "accessorId": app, "accessorType": "APP", "scopes": ["meter", "access"]}
    made = client.data("POST", "/api/v1/api-keys", asked)
    assert of(made, *read)["credentialType"] == "BEARER_TOKEN" and made["secret"].startswith("sk_live_")
    client.send("POST", "/api/v1/api-keys", asked, status=409)
    agent = client.data(
        "POST", "/api/v1/agents", {"customerId": customer, "name": "Bot", "agentType": "CLAUDE"}
    )["id"]
    pair = client.data("POST", "/api/v1/api-keys", {**body, "accessorId": agent, "accessorType": "AGENT"})
    assert pair["credentialType"] == "CLIENT_CREDENTIALS" and pair["clientId"] and pair["clientSecret"]
    listed = client.data("GET", f"/api/v1/api-keys?customerId={customer}&accessorId={app}")
    assert [of(each, *read) for each in listed] == [of(made, *read)] and not listed[0].get("secret")
    revoked = client.data("POST", f"/api/v1/api-keys/{made['id']}/revoke", status=200)
    assert revoked["status"] == "REVOKED" and datetime.fromisoformat(revoked["revokedAt"])
    assert client.data("GET", f"/api/v1/api-keys/{made['id']}")["status"] == "REVOKED"


def money(client: Client, customer: str, subscription: str) -> None:
    of_customer = f"/api/v1/wallets/by-customer/{customer}"
    client.send("GET", of_customer, status=404)
    topping = {"autoTopupEnabled": False, "lowBalanceThreshold": 5}
    wallet = client.data(
        "POST",
        "/api/v1/wallets",
        {"customerId": customer, "currency": "USD", "initialBalance": 50, **topping},
    )
    assert of(wallet, "customerId", "currency", "balance") == {
        "customerId": customer,
        "currency": "USD",
        "balance": "50.00",
    }
    assert client.data("GET", of_customer)["id"] == wallet["id"]
    card = {
        "lastFour": "4242",
        "cardBrand": "visa",
        "expiryMonth": 12,
        "expiryYear": 2030,
        "setAsDefault": True,
    }
    method = {"customerId": customer, "gatewayToken": "pm_card_visa", "methodType": "CARD", **card}
    made = client.data("POST", "/api/v1/payment-methods", method)
    read = of(made, "id", "customerId", "methodType", "lastFour", "cardBrand", "gatewayType", "active")
    assert (read["gatewayType"], read["lastFour"], read["active"]) == ("STRIPE", "4242", True)
    listed = client.data("GET", f"/api/v1/payment-methods/by-customer/{customer}")
    assert [of(each, *read) for each in listed] == [read]
    coupon = {"code": "WELCOME_10", "name": "Welcome", "discountType": "PERCENTAGE", "discountValue": 0.1}
    lasting = {
        "duration": "REPEATING",
        "durationInMonths": 3,
        "maxRedemptions": 9,
        "maxRedemptionsPerCustomer": 1,
    }
    assert client.data("POST", "/api/v1/coupons", {**coupon, **lasting, "currency": "USD"})["couponId"]
    redeem = f"/api/v1/coupons/redeem-for-customer?customerId={customer}"
    asked = {"code": "WELCOME_10", "subscriptionId": subscription}
    assert client.data("POST", redeem, asked)["redemptionId"]
    client.send("POST", redeem, asked, status=409)


def a_webhook_source(client: Client, tenant: str) -> None:
    made = client.data("POST", "/api/v1/webhook-sources", {**WEBHOOKS, "tenantId": tenant})
    assert of(made, "tenantId", "signatureHeader", "signatureAlgorithm") == {
        "tenantId": tenant,
        "signatureHeader": "X-Shop-Signature",
        "signatureAlgorithm": "hmac-sha256",
    }
    assert made["id"] and made["secret"]


def a_bill_run(client: Client) -> None:
    """201, 202, 200; always in the envelope."""
    run = client.data("POST", "/api/v1/bill-runs", NOVEMBER, status=201)["id"]
    client.data("POST", f"/api/v1/bill-runs/{run}/execute", status=202)
    found = client.data("GET", f"/api/v1/bill-runs/{run}")
    counts = of(found, "id", "status", "invoicesGenerated", "customersProcessed", "progressPct", "durationMs")
    assert (counts["id"], counts["status"]) == (run, "QUEUED")
    assert all(
        value is None or datetime.fromisoformat(value)
        for value in of(found, "startedAt", "completedAt").values()
    )


def changes_of_heart(client: Client, subscription: str, offerings: list[str]) -> None:
    """The subscription stays the same one whatever happens to it."""
    path, why = f"/api/v1/subscriptions/{subscription}", {"reason": "a whim"}
    for word, status in (("pause", "PAUSED"), ("resume", "ACTIVE")):
        changed = client.data("POST", f"{path}/{word}", why, status=200)
        assert of(changed, "id", "status") == {"id": subscription, "status": status}
        assert of(changed, "offeringId", "dunningAttempt") == {
            "offeringId": offerings[0],
            "dunningAttempt": 0,
        }
    up = client.data("POST", f"{path}/upgrade", {"targetOfferingId": offerings[1], **why}, status=200)
    assert (up["id"], up["status"], up["offeringId"]) == (subscription, "ACTIVE", offerings[1])
    down = client.data("POST", f"{path}/downgrade", {"targetOfferingId": offerings[0], **why}, status=200)
    assert (down["id"], down["status"]) == (subscription, "ACTIVE") and down["offeringId"]
    migrate = {"targetOfferingId": offerings[2], "autoSettleRefund": True, **why}
    moved = client.data("POST", f"{path}/migrate-with-proration", migrate, status=200)
    assert moved["sourceSubscriptionId"] == moved["targetSubscriptionId"] == subscription
    assert moved["calendarRefundUsd"] and moved["walletRefund"]["walletBalance"] == "50.00"
    assert len(client.data("GET", f"{path}/phases")) > 3


def hard_times(client: Client, subscription: str) -> None:
    path = f"/internal/v1/subscriptions/{subscription}/dunning-update"
    late = client.data("POST", path, {"outcome": "FAILED"}, status=200)
    assert of(late, "id", "status", "dunningAttempt") == {
        "id": subscription,
        "status": "PAST_DUE",
        "dunningAttempt": 1,
    }
    assert [each["id"] for each in client.data("GET", "/internal/v1/subscriptions/past-due")] == [
        subscription
    ]
    client.data("POST", f"/api/v1/subscriptions/{subscription}/retry-payment", status=200)
    assert client.data("POST", path, {"outcome": "SUCCEEDED"}, status=200)["status"] == "ACTIVE"


def everything_goes(
    client: Client, tenant: str, customer: str, subscription: str, offerings: list[str]
) -> None:
    """Deleting hides; what is in use stays, until what uses it has ended; keys end with their subscription."""
    client.send("DELETE", f"/api/v1/offerings/{offerings[2]}", status=409)
    ended = client.data(
        "POST", f"/api/v1/subscriptions/{subscription}/cancel", {"reason": "moving"}, status=200
    )
    assert (ended["id"], ended["status"]) == (subscription, "CANCELLED")
    assert {each["status"] for each in client.data("GET", f"/api/v1/api-keys?customerId={customer}")} == {
        "REVOKED"
    }
    client.send("POST", f"/api/v1/internal/subscriptions/{subscription}/expire", status=409)
    wallet = client.data("GET", f"/api/v1/wallets/by-customer/{customer}")["id"]
    client.send("DELETE", f"/api/v1/wallets/{wallet}", status=409)
    client.gone(f"/api/v1/wallets/{wallet}?confirm=true")
    for offering in offerings:
        client.gone(f"/api/v1/offerings/{offering}")
    for plan in client.data("GET", "/api/v1/rateplans/search?name="):
        client.gone(f"/api/v1/rateplans/{plan['id']}")
    for product in client.data("GET", "/api/v1/products"):
        client.gone(f"/api/v1/products/{product['id']}")
    client.gone(f"/api/v1/customers/{customer}")
    assert client.data("GET", "/api/v1/customers") == client.data("GET", "/api/v1/products") == []
    client.gone(f"/api/v1/internal/tenants/{tenant}")
    assert client.send("GET", "/api/v1/internal/tenants?externalId=crm-1", status=200).json() == {"data": []}


def a_look_around(client: Client) -> None:
    """Health and the API's description need no envelope, and no token."""
    health = client.http.get("/actuator/health", headers={"Authorization": ""}).json()
    assert health == {"status": "UP", "components": {"db": {"status": "UP"}, "redis": {"status": "UP"}}}
    document = client.http.get("/v3/api-docs").json()
    assert document["openapi"].startswith("3.") and "/api/v1/products" in document["paths"]
