"""Coupons, wallets, payment means and webhook sources at the door: the field names that clients send and read."""

from __future__ import annotations

import pytest

from storage.database import session_scope
from tests.api.control.conftest import Api, problem
from tests.storage.worlds import acme, applied

COUPON = {
    "code": "WELCOME-10",
    "name": "Welcome",
    "discountType": "PERCENTAGE",
    "discountValue": 0.10,
    "duration": "REPEATING",
    "durationInMonths": 3,
    "maxRedemptions": 100,
    "maxRedemptionsPerCustomer": 1,
}
STRIPE = {
    "gatewayType": "STRIPE",
    "displayName": "Stripe",
    "apiKey": "sk_test_hidden",
    "publicKey": "pk_test",
    "webhookSecret": "whsec_hidden",
    "primary": True,
    "sandboxMode": True,
    "supportedCurrencies": ["USD"],
}
SOURCE = {
    "tenantId": "acme",
    "name": "Shop",
    "signatureHeader": "X-Shop-Signature",
    "signatureAlgorithm": "hmac-sha256",
    "customerIdPath": "$.data.customer.id",
    "metricKeyPath": "$.items[0]['metric key']",
    "quantityPath": "$..quantity",
    "timestampPath": "$.created",
    "description": "Orders",
}


@pytest.fixture
def shop(api: Api) -> Api:
    """acme with the customers ann and bob, each with a subscription."""
    with session_scope(api.database_url) as session:
        document = acme(keys=[])
        document["tenant"] = {
            "id": "acme",
            "name": "Acme",
            "currency": "USD",
            "billingEntity": {"code": "default"},
        }
        applied(session, document)
    return api


def test_a_coupon_is_created_found_edited_and_archived(shop: Api) -> None:
    made = shop.made("/api/v1/coupons", COUPON)
    assert made["couponId"] == made["id"]
    assert made["id"].startswith("cpn_")
    assert (made["discountValue"], made["durationInMonths"], made["redemptionCount"]) == ("0.1", 3, 0)
    listed = shop.get("/api/v1/coupons?name=welc&code=WELCOME-10").json()
    assert [each["id"] for each in listed["data"]] == [made["id"]]
    path = f"/api/v1/coupons/{made['id']}"
    edited = shop.patch(path, {"maxRedemptions": 5}, if_match='"1"')
    assert (edited.headers["etag"], edited.json()["data"]["maxRedemptions"]) == ('"2"', 5)
    problem(shop.patch(path, {"maxRedemptions": 6}, if_match='"1"'), 412, "STALE_EDIT")
    assert shop.delete(path).status_code == 204
    assert shop.get("/api/v1/coupons").json()["data"] == []
    assert len(shop.get("/api/v1/coupons?includeArchived=true").json()["data"]) == 1
    assert shop.get(path).json()["data"]["status"] == "ARCHIVED"


def test_a_coupon_is_redeemed_for_a_customer(shop: Api) -> None:
    coupon = shop.made("/api/v1/coupons", COUPON)
    sent = {"code": "WELCOME-10", "subscriptionId": "sub_ann"}
    redeem = "/api/v1/coupons/redeem-for-customer?customerId=ann"
    made = shop.made(redeem, sent)
    assert made["redemptionId"].startswith("rdm_")
    assert made["couponId"] == coupon["id"]
    problem(shop.post(redeem, sent), 409, "COUPON_LIMIT_REACHED")
    problem(shop.post(redeem, {"code": "NONE", "subscriptionId": "sub_ann"}), 404, "COUPON_NOT_FOUND")
    problem(shop.post("/api/v1/coupons/redeem-for-customer", sent), 422, field="customerId")
    listed = shop.get(f"/api/v1/coupons/{coupon['id']}/redemptions?customerId=ann").json()
    assert [each["redemptionId"] for each in listed["data"]] == [made["redemptionId"]]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"code": "welcome"}, "code"),
        ({"code": "A" * 65}, "code"),
        ({"discountValue": 1.01}, "discountValue"),
        ({"discountValue": 0}, "discountValue"),
        ({"discountType": "FIXED_AMOUNT"}, "currency"),
        ({"discountType": "FIXED_AMOUNT", "currency": "JPY", "discountValue": "0.5"}, "discountValue"),
        ({"duration": "FOREVER"}, "durationInMonths"),
        ({"durationInMonths": 61}, "durationInMonths"),
        ({"appliesTo": ["none"]}, "appliesTo"),
        ({"percent": 10}, "percent"),
    ],
)
def test_a_coupon_that_says_nonsense_is_refused_by_field(
    shop: Api, given: dict[str, object], field: str
) -> None:
    problem(shop.post("/api/v1/coupons", {**COUPON, **given}), 422, field=field)


def test_a_wallet_is_opened_once_and_found_by_its_customer(shop: Api) -> None:
    sent = {"customerId": "ann", "currency": "USD", "initialBalance": 250, "lowBalanceThreshold": 300}
    problem(shop.get("/api/v1/wallets/by-customer/ann"), 404, "WALLET_NOT_FOUND")
    made = shop.made("/api/v1/wallets", sent)
    assert (made["customerId"], made["currency"], made["balance"]) == ("ann", "USD", "250.00")
    assert (made["lowBalance"], made["autoTopupEnabled"]) == (True, False)
    problem(shop.post("/api/v1/wallets", sent), 409, "WALLET_EXISTS")
    assert shop.get("/api/v1/wallets/by-customer/ann").json()["data"] == made
    assert shop.get(f"/api/v1/wallets/{made['id']}").json()["data"] == made
    assert shop.get("/api/v1/wallets?customerId=ann").json()["meta"]["totalElements"] == 1
    topping = {"autoTopupEnabled": True, "autoTopupAmount": "50", "autoTopupThreshold": 20}
    edited = shop.patch(f"/api/v1/wallets/{made['id']}", topping).json()["data"]
    assert (edited["autoTopupAmount"], edited["lowBalanceThreshold"]) == ("50.00", "300.00")


def test_money_goes_in_and_out_of_a_wallet_and_its_ledger_tells(shop: Api) -> None:
    wallet = shop.made("/api/v1/wallets", {"customerId": "ann", "initialBalance": "10"})
    path = f"/api/v1/wallets/{wallet['id']}"
    assert shop.made(f"{path}/top-up", {"amount": 5})["balance"] == "15.00"
    sent = {"customer_id": "ann", "amount": 0.25, "strategy": "WATERFALL", "idempotency_key": "call-1"}
    spent = shop.made("/v1/wallets/debit", sent)
    assert (spent["walletId"], spent["amount"], spent["balance"]) == (wallet["id"], "0.25", "14.75")
    assert shop.made("/v1/wallets/debit", sent) == spent
    problem(shop.post("/v1/wallets/debit", {**sent, "amount": 1}), 409, "IDEMPOTENCY_CONFLICT")
    broke = {"customer_id": "ann", "amount": 100, "idempotency_key": "call-2"}
    problem(shop.post("/v1/wallets/debit", broke), 409, "INSUFFICIENT_FUNDS")
    ledger = shop.get(f"{path}/ledger?size=2").json()
    assert [each["type"] for each in ledger["data"]] == ["DEBIT", "TOP_UP"]
    from_grant, to_usage = ledger["data"][0]["entries"]
    assert (from_grant["account"], from_grant["amount"]) == ("CASH", "-0.25")
    assert to_usage == {"account": "USAGE", "amount": "0.25"}
    following = shop.get(f"{path}/ledger?size=2&cursor={ledger['meta']['nextCursor']}").json()
    assert [each["type"] for each in following["data"]] == ["OPENING"]


def test_a_wallet_with_money_is_closed_only_with_confirmation(shop: Api) -> None:
    wallet = shop.made("/api/v1/wallets", {"customerId": "ann", "initialBalance": "10"})
    problem(shop.delete(f"/api/v1/wallets/{wallet['id']}"), 409, "WALLET_NOT_EMPTY")
    assert shop.delete(f"/api/v1/wallets/{wallet['id']}?confirm=true").status_code == 204
    assert shop.get("/api/v1/wallets").json()["data"] == []


def test_a_gateway_shows_everything_but_its_secrets(shop: Api) -> None:
    answer = shop.post("/api/v1/payment-gateways", STRIPE)
    assert answer.status_code == 201
    assert "hidden" not in answer.text
    made = answer.json()["data"]
    assert (made["gatewayType"], made["primary"], made["active"]) == ("STRIPE", True, True)
    path = f"/api/v1/payment-gateways/{made['id']}"
    changed = shop.patch(path, {"apiKey": "sk_test_hidden_2", "displayName": "Stripe 2"})
    assert (changed.json()["data"]["displayName"], changed.json()["data"]["hasApiKey"]) == ("Stripe 2", True)
    assert "hidden" not in changed.text + shop.get(path).text + shop.get("/api/v1/audit-log").text
    with session_scope(shop.database_url) as session:
        assert "hidden" not in str(
            session.connection().exec_driver_sql("SELECT * FROM payment_gateways").all()
        )
    problem(shop.post("/api/v1/payment-gateways", {"gatewayType": "STRIPE"}), 422, field="apiKey")


def test_one_gateway_is_the_primary_at_a_time(shop: Api) -> None:
    stripe = shop.made("/api/v1/payment-gateways", STRIPE)
    manual = shop.made("/api/v1/payment-gateways", {"gatewayType": "MANUAL"})
    assert manual["primary"] is False
    problem(shop.patch(f"/api/v1/payment-gateways/{stripe['id']}", {"primary": False}), 422, field="primary")
    assert shop.made(f"/api/v1/payment-gateways/{manual['id']}/primary")["primary"] is True
    assert shop.get(f"/api/v1/payment-gateways/{stripe['id']}").json()["data"]["primary"] is False
    assert shop.delete(f"/api/v1/payment-gateways/{stripe['id']}").status_code == 204
    assert len(shop.get("/api/v1/payment-gateways").json()["data"]) == 1


def test_payment_methods_need_a_primary_gateway_and_the_first_is_the_default(shop: Api) -> None:
    card = {
        "customerId": "ann",
        "gatewayToken": "pm_card_visa",
        "methodType": "CARD",
        "lastFour": "4242",
        "cardBrand": "visa",
        "expiryMonth": 12,
        "expiryYear": 2030,
    }
    refused = problem(shop.post("/api/v1/payment-methods", card), 400, "NO_PRIMARY_PAYMENT_GATEWAY")
    assert refused["detail"] == "No primary payment gateway configured"
    gateway = shop.made("/api/v1/payment-gateways", STRIPE)
    first = shop.made("/api/v1/payment-methods", card)
    assert {key: first[key] for key in ("customerId", "methodType", "lastFour", "cardBrand", "gatewayType", "active")} == {
        "customerId": "ann", "methodType": "CARD", "lastFour": "4242", "cardBrand": "visa", "gatewayType": "STRIPE",
        "active": True,
    }  # fmt: skip
    assert "pm_card_visa" not in str(first)
    second = shop.made("/api/v1/payment-methods", {**card, "setAsDefault": True})
    listed = shop.get("/api/v1/payment-methods/by-customer/ann").json()["data"]
    assert [(each["id"], each["isDefault"]) for each in listed] == [
        (second["id"], True),
        (first["id"], False),
    ]
    assert shop.made(f"/api/v1/payment-methods/{first['id']}/default")["isDefault"] is True
    assert shop.delete(f"/api/v1/payment-methods/{first['id']}").status_code == 204
    assert shop.get(f"/api/v1/payment-methods/{second['id']}").json()["data"]["isDefault"] is True
    problem(shop.delete(f"/api/v1/payment-gateways/{gateway['id']}"), 409, "PAYMENT_GATEWAY_IN_USE")
    problem(
        shop.post("/api/v1/payment-methods", {**card, "gatewayToken": "4242 4242 4242 4242"}),
        422,
        field="gatewayToken",
    )
    problem(shop.get("/api/v1/payment-methods/by-customer/nobody"), 404, "CUSTOMER_NOT_FOUND")


def test_a_webhook_sources_secret_is_shown_once(shop: Api) -> None:
    made = shop.made("/api/v1/webhook-sources", SOURCE, idempotency_key="k1")
    assert {"id", "tenantId", "secret", "signatureHeader", "signatureAlgorithm"} <= made.keys()
    assert (made["tenantId"], made["signatureHeader"]) == ("acme", "X-Shop-Signature")
    path = f"/api/v1/webhook-sources/{made['id']}"
    assert "secret" not in shop.get(path).json()["data"]
    assert "secret" not in shop.get("/api/v1/webhook-sources").json()["data"][0]
    assert shop.delete(path).status_code == 204
    problem(shop.get(path), 404, "WEBHOOK_SOURCE_NOT_FOUND")


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"tenantId": "rival"}, "tenantId"),
        ({"customerIdPath": "data.customer"}, "customerIdPath"),
        ({"quantityPath": "$.items[?"}, "quantityPath"),
        ({"signatureAlgorithm": "md5"}, "signatureAlgorithm"),
        ({"signatureHeader": "X Bad"}, "signatureHeader"),
    ],
)
def test_a_webhook_source_that_says_nonsense_is_refused_by_field(
    shop: Api, given: dict[str, str], field: str
) -> None:
    problem(shop.post("/api/v1/webhook-sources", {**SOURCE, **given}), 422, field=field)


def test_a_stranger_finds_nothing_of_it(shop: Api) -> None:
    made = {
        "coupons": shop.made("/api/v1/coupons", COUPON),
        "wallets": shop.made("/api/v1/wallets", {"customerId": "ann"}),
        "payment-gateways": shop.made("/api/v1/payment-gateways", STRIPE),
        "webhook-sources": shop.made("/api/v1/webhook-sources", SOURCE),
    }
    for noun, thing in made.items():
        problem(shop.get(f"/api/v1/{noun}/{thing['id']}", tenant="rival"), 404)
        problem(shop.delete(f"/api/v1/{noun}/{thing['id']}", tenant="rival"), 404)
        assert shop.get(f"/api/v1/{noun}", tenant="rival").json()["data"] == []


def test_those_who_sell_do_not_touch_money(shop: Api) -> None:
    problem(shop.post("/api/v1/wallets", {"customerId": "ann"}, role="PRODUCT_MANAGER"), 403)
    assert shop.post("/api/v1/wallets", {"customerId": "ann"}, role="BILLING_ADMIN").status_code == 201
    problem(shop.post("/api/v1/coupons", COUPON, role="VIEWER"), 403)
    assert shop.post("/api/v1/coupons", COUPON, role="PRODUCT_MANAGER").status_code == 201
