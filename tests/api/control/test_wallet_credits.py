"""Grants, holds, refills and alerts at the door: the field names that clients send and read."""

from __future__ import annotations

import pytest

from storage.database import session_scope
from tests.api.control.conftest import Api, problem
from tests.storage.worlds import acme, applied


@pytest.fixture
def shop(api: Api) -> Api:
    with session_scope(api.database_url) as session:
        applied(session, acme())
    return api


@pytest.fixture
def wallet(shop: Api) -> str:
    made = shop.made(
        "/api/v1/wallets", {"customerId": "ann", "initialBalance": "10", "lowBalanceThreshold": 5}
    )
    return str(made["id"])


def test_a_grant_is_given_listed_and_revoked(shop: Api, wallet: str) -> None:
    path = f"/api/v1/wallets/{wallet}"
    sent = {
        "type": "PROMOTIONAL",
        "amount": 25,
        "expiresAt": "2099-01-01T00:00:00Z",
        "units": ["calls"],
        "priority": 3,
    }
    made = shop.made(f"{path}/grants", sent)
    assert (made["type"], made["amount"], made["remaining"], made["status"]) == (
        "PROMOTIONAL",
        "25",
        "25",
        "ACTIVE",
    )
    assert (made["units"], made["priority"], made["expiresAt"]) == (["calls"], 3, "2099-01-01T00:00:00Z")
    assert [each["type"] for each in shop.get(f"{path}/grants").json()["data"]] == ["PROMOTIONAL", "CASH"]
    assert shop.get(f"{path}/grants/{made['id']}").json()["data"] == made
    revoked = shop.made(f"{path}/grants/{made['id']}/revoke", {"reason": "mistake"})
    assert (revoked["status"], revoked["remaining"]) == ("REVOKED", "0")
    problem(shop.post(f"{path}/grants", {"type": "GIFT", "amount": 1}), 422, field="type")
    problem(shop.get(f"{path}/grants/gr_none"), 404, "WALLET_GRANT_NOT_FOUND")


def test_money_is_held_settled_and_released(shop: Api, wallet: str) -> None:
    sent = {"customer_id": "ann", "amount": 4, "ttl_seconds": 60, "idempotency_key": "h1"}
    hold = shop.made("/v1/wallets/holds", sent)
    assert (hold["status"], hold["amount"], len(hold["parts"])) == ("PENDING", "4", 1)
    assert shop.made("/v1/wallets/holds", sent)["id"] == hold["id"]
    shown = shop.get(f"/api/v1/wallets/{wallet}").json()["data"]
    assert (shown["balance"], shown["held"], shown["available"]) == ("10.00", "4.00", "6.00")
    problem(shop.post("/v1/wallets/holds", {"customer_id": "ann", "amount": 7}), 409, "INSUFFICIENT_FUNDS")
    settled = shop.made(f"/v1/wallets/holds/{hold['id']}/settle", {"amount": 1.5})
    assert (settled["status"], settled["settled"]) == ("SETTLED", "1.5")
    problem(shop.post(f"/v1/wallets/holds/{hold['id']}/release"), 409, "WALLET_HOLD_OVER")
    other = shop.made("/v1/wallets/holds", {"customerId": "ann", "amount": 1})
    assert shop.made(f"/v1/wallets/holds/{other['id']}/release")["status"] == "RELEASED"
    assert len(shop.get(f"/v1/wallets/holds?walletId={wallet}").json()["data"]) == 2


def test_the_summary_tells_what_came_in_went_out_and_is_owed(shop: Api, wallet: str) -> None:
    shop.made(f"/api/v1/wallets/{wallet}/grants", {"type": "PROMOTIONAL", "amount": 10})
    shop.made("/v1/wallets/debit", {"customer_id": "ann", "amount": 12})
    told = shop.get(f"/api/v1/wallets/{wallet}/summary").json()["data"]
    assert (told["balance"], told["liability"], told["utilization"]) == ("8.00", "8.00", "0.6000")
    burned = {each["type"]: each["burned"] for each in told["waterfall"]}
    assert burned == {"PROMOTIONAL": "10.00", "CASH": "2.00"}


def test_a_dip_shows_as_an_alert_and_a_refill_is_confirmed(shop: Api, wallet: str) -> None:
    topping = {"autoTopupEnabled": True, "autoTopupAmount": 20, "autoTopupThreshold": 5}
    shop.patch(f"/api/v1/wallets/{wallet}", topping)
    shop.made("/v1/wallets/debit", {"customer_id": "ann", "amount": 8})
    (alert,) = shop.get("/api/v1/alerts?customerId=ann").json()["data"]
    assert (alert["kind"], alert["targetId"], alert["details"]["balance"]) == ("LOW_BALANCE", wallet, "2")
    (refill,) = shop.get(f"/api/v1/wallets/{wallet}/top-ups").json()["data"]
    assert (refill["status"], refill["amount"]) == ("REQUESTED", "20")
    assert shop.made(f"/api/v1/wallets/{wallet}/top-ups/{refill['id']}/confirm")["status"] == "SUCCEEDED"
    assert shop.get(f"/api/v1/wallets/{wallet}").json()["data"]["balance"] == "22.00"
