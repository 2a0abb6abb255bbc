"""Customers' API keys over HTTP: made, shown once, rotated, suspended, revoked."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select, update

from storage.database import session_scope
from storage.repositories.keys import sha256_of
from storage.services.key_revocation import revoke_keys_of, revoke_keys_of_customer
from storage.tables.customers import SubscriptionRow
from storage.tables.keys import ApiKeyRow
from storage.tenancy import tenant_tx
from tests.api.control.conftest import Api, problem
from tests.storage.worlds import ACME, applied

KEYS = "/api/v1/api-keys"
APP = {
    "name": "Checkout",
    "customerId": "ann",
    "accessorId": "app_checkout",
    "accessorType": "APP",
    "subscriptionIds": ["sub_ann"],
    "environment": "live",
    "scopes": ["meter"],
}
AGENT = {**APP, "accessorId": "agt_helper", "accessorType": "AGENT"}


@pytest.fixture
def shop(api: Api) -> Api:
    """Acme with customers ann and bob, each with an active subscription, and two keys of its own."""
    with session_scope(api.database_url) as session:
        applied(session, ACME)
    return api


def key_ids(api: Api, **filters: str) -> list[str]:
    query = "&".join(f"{name}={value}" for name, value in filters.items())
    return [key["id"] for key in api.get(f"{KEYS}?{query}").json()["data"]]


def test_an_app_gets_a_bearer_token_shown_once(shop: Api) -> None:
    made = shop.made(KEYS, APP)
    assert made["secret"].startswith("sk_live_") and len(made["secret"]) == 48
    expected = {"customerId": "ann", "accessorId": "app_checkout", "accessorType": "APP", "status": "ACTIVE"}
    assert (
        made.items()
        >= (expected | {"credentialType": "BEARER_TOKEN", "subscriptionIds": ["sub_ann"]}).items()
    )
    read = shop.get(f"{KEYS}/{made['id']}")
    assert "secret" not in read.json()["data"] and made["secret"] not in read.text
    assert read.headers["etag"] == '"1"'
    with session_scope(shop.database_url) as session:
        row = session.scalars(select(ApiKeyRow).where(ApiKeyRow.id == made["id"])).one()
        assert row.secret_sha256 == sha256_of(made["secret"])


def test_an_agent_gets_a_client_id_and_a_secret(shop: Api) -> None:
    made = shop.made(KEYS, {**AGENT, "environment": "test"})
    assert (made["credentialType"], "secret" in made) == ("CLIENT_CREDENTIALS", False)
    assert made["clientId"].startswith("cli_") and made["clientSecret"].startswith("sk_test_")


def test_keys_are_listed_by_customer_and_by_app_or_agent(shop: Api) -> None:
    app, agent = shop.made(KEYS, APP)["id"], shop.made(KEYS, AGENT)["id"]
    assert key_ids(shop, customerId="ann", accessorId="app_checkout") == [app]
    assert {app, agent} < set(key_ids(shop, customerId="ann"))
    assert key_ids(shop, customerId="bob") == []
    first = shop.get(f"{KEYS}?size=2&sort=name").json()
    assert (first["meta"]["totalElements"], len(first["data"])) == (4, 2)


def test_an_app_has_one_key_in_use_however_many_ask_at_once(shop: Api) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: shop.post(KEYS, APP), range(8)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    refused = next(answer for answer in answers if answer.status_code == 409)
    problem(refused, 409, "API_KEY_EXISTS")


def test_a_revoked_key_makes_room_for_another(shop: Api) -> None:
    first = shop.made(KEYS, APP)["id"]
    revoked = shop.made(f"{KEYS}/{first}/revoke", {"reason": "leaked"})
    assert (revoked["status"], revoked["revokeReason"]) == ("REVOKED", "leaked") and revoked["revokedAt"]
    assert shop.made(f"{KEYS}/{first}/revoke")["revokedAt"] == revoked["revokedAt"]
    assert shop.made(KEYS, APP)["id"] != first


@pytest.mark.parametrize(
    ("changed", "status", "code", "field"),
    [
        ({"customerId": "nobody"}, 404, "CUSTOMER_NOT_FOUND", None),
        ({"subscriptionIds": ["sub_bob"]}, 404, "SUBSCRIPTION_NOT_FOUND", None),
        ({"productId": "none"}, 404, "PRODUCT_NOT_FOUND", None),
        ({"accessorType": "BOT"}, 422, None, "accessorType"),
        ({"environment": "moon"}, 422, None, "environment"),
        ({"ipRanges": ["203.0.113.0/33"]}, 422, None, "ipRanges[0]"),
        ({"scopes": ["bad scope"]}, 422, None, "scopes[0]"),
        ({"expiresAt": "2020-01-01T00:00:00Z"}, 422, None, "expiresAt"),
        ({"expiresAt": "soon"}, 422, None, "expiresAt"),
        ({"customerId": None}, 422, None, "customerId"),
        ({"colour": "red"}, 422, None, "colour"),
    ],
)
def test_a_key_must_be_asked_for_rightly(
    shop: Api, changed: dict[str, Any], status: int, code: str | None, field: str | None
) -> None:
    problem(shop.post(KEYS, APP | changed), status, code, field)
    assert key_ids(shop, accessorId="app_checkout") == []


@pytest.mark.parametrize("state", ["TRIALING", "PAUSED", "CANCELLED"])
def test_only_an_active_subscription_gets_keys(shop: Api, state: str) -> None:
    with session_scope(shop.database_url) as session:
        session.execute(update(SubscriptionRow).where(SubscriptionRow.id == "sub_ann").values(status=state))
    problem(shop.post(KEYS, APP), 409, "SUBSCRIPTION_NOT_ACTIVE")


def test_an_app_of_one_customer_gets_no_key_of_another(shop: Api) -> None:
    shop.made(KEYS, APP)
    problem(
        shop.post(KEYS, APP | {"customerId": "bob", "subscriptionIds": ["sub_bob"]}), 409, "ACCESSOR_MISMATCH"
    )


def test_rotation_gives_a_new_secret_and_leaves_the_old_one_five_minutes(shop: Api) -> None:
    old = shop.made(KEYS, AGENT)
    new = shop.made(f"{KEYS}/{old['id']}/rotate")
    assert (new["replaces"], new["clientId"], new["subscriptionIds"]) == (
        old["id"],
        old["clientId"],
        ["sub_ann"],
    )
    assert new["clientSecret"] != old["clientSecret"]
    before = shop.get(f"{KEYS}/{old['id']}").json()["data"]
    assert before["status"] == "PENDING_REVOCATION" and before["revokeAt"] > before["updatedAt"]
    problem(shop.post(f"{KEYS}/{old['id']}/rotate"), 409, "API_KEY_STATE_CONFLICT")


def test_a_suspended_key_can_be_reactivated_and_a_revoked_one_cannot(shop: Api) -> None:
    path = f"{KEYS}/{shop.made(KEYS, APP)['id']}"
    assert shop.made(f"{path}/suspend")["status"] == "SUSPENDED"
    assert shop.made(f"{path}/suspend")["revision"] == 2
    assert shop.made(f"{path}/reactivate")["status"] == "ACTIVE"
    problem(shop.post(f"{path}/suspend", if_match='"1"'), 412)
    shop.made(f"{path}/revoke")
    problem(shop.post(f"{path}/reactivate"), 409, "API_KEY_STATE_CONFLICT")


def test_a_key_of_another_tenant_is_not_there(shop: Api) -> None:
    key = shop.made(KEYS, APP)["id"]
    problem(shop.get(f"{KEYS}/{key}", tenant="rival"), 404, "API_KEY_NOT_FOUND")
    for act in ("revoke", "rotate", "suspend", "reactivate"):
        problem(shop.post(f"{KEYS}/{key}/{act}", tenant="rival"), 404, "API_KEY_NOT_FOUND")


def test_a_key_dies_with_the_last_of_its_subscriptions(shop: Api) -> None:
    bound, free = shop.made(KEYS, APP)["id"], shop.made(KEYS, AGENT | {"subscriptionIds": []})["id"]
    with tenant_tx(shop.database_url, "acme") as tx:
        assert revoke_keys_of(tx, "sub_bob", "cancelled") == []
        assert revoke_keys_of(tx, "sub_ann", "cancelled") == [bound]
    assert shop.get(f"{KEYS}/{bound}").json()["data"]["revokeReason"] == "cancelled"
    with tenant_tx(shop.database_url, "acme") as tx:
        assert free in revoke_keys_of_customer(tx, "ann", "archived")


def test_a_repeated_request_gets_the_same_secret(shop: Api) -> None:
    first = shop.post(KEYS, APP, idempotency_key="once")
    again = shop.post(KEYS, APP, idempotency_key="once")
    assert (first.status_code, again.json()) == (201, first.json())
