"""Many clients at once, over real connections: what may happen once happens once. Keep out: races inside one process (tests/storage)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from storage.database import session_scope
from storage.repositories.invoices import settle
from storage.secret_files import operator_token
from tests.loopback import control_door
from tests.storage.test_invoices import line, settlement

AT_ONCE = 24
ANN = {"name": "Ann", "email": "ann@x.example", "plan": "STANDARD", "defaultCurrency": "USD"}


class Clients:
    """The door of a tenant called acme, asked by AT_ONCE clients at a time."""

    def __init__(self, base: str, token: str, database_url: str) -> None:
        limits = httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE)
        self.http = httpx.Client(
            base_url=base, headers={"Authorization": f"Bearer {token}"}, limits=limits, timeout=120
        )
        self.database_url = database_url
        self.http.headers["X-Tenant-Id"] = self.made("/api/v1/internal/tenants", {"name": "acme"})["id"]

    def made(self, path: str, body: Any) -> Any:
        answer = self.http.post(path, json=body)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()["data"]

    def many(self, times: int, ask: Callable[[int], httpx.Response]) -> list[httpx.Response]:
        """The answers to `times` requests; the first AT_ONCE of them leave together."""
        start = Barrier(min(times, AT_ONCE))

        def one(number: int) -> httpx.Response:
            if number < start.parties:
                start.wait(timeout=60)
            return ask(number)

        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(one, range(times)))

    def count(self, query: str) -> Any:
        with session_scope(self.database_url) as session:
            return session.execute(text(query)).scalar_one()

    def offering(self, code: str = "pro") -> str:
        """Its id."""
        self.http.post("/api/v1/metrics", json={"key": "calls", "name": "Calls", "aggregationType": "COUNT"})
        price = {"metricId": "calls", "model": "PER_UNIT", "rate": 0.01}
        plan = self.made("/api/v1/rateplans", {"name": code, "currency": "USD", "metricConfigs": [price]})[
            "id"
        ]
        about = {
            "code": code,
            "name": code,
            "type": "STANDALONE",
            "status": "ACTIVE",
            "primaryRatePlanId": plan,
        }
        return str(self.made("/api/v1/offerings", {**about, "currency": "USD"})["id"])

    def subscription(self, customer: str, offering: str) -> dict[str, Any]:
        """What asks for one."""
        agreed = {"billingCycle": "MONTHLY", "startDate": "2023-11-01"}
        return {"customerId": customer, "offeringId": offering, **agreed}


@pytest.fixture
def clients(database_url: str, redis_url: str, home: Path) -> Iterator[Clients]:
    with control_door(database_url, redis_url, home) as base:
        yield Clients(base, operator_token(home), database_url)


def statuses(answers: list[httpx.Response]) -> Counter[int]:
    return Counter(answer.status_code for answer in answers)


def redemptions(clients: Clients, times: int) -> None:
    customer = clients.made("/api/v1/customers", ANN)["id"]
    subscription = clients.made("/api/v1/subscriptions", clients.subscription(customer, clients.offering()))[
        "id"
    ]
    coupon = {"code": "ONLY_ONE", "name": "One", "discountType": "PERCENTAGE", "discountValue": 0.1}
    limits = {"duration": "ONCE", "maxRedemptions": 1, "maxRedemptionsPerCustomer": 1}
    clients.made("/api/v1/coupons", {**coupon, **limits})
    redeem, asked = (
        "/api/v1/coupons/redeem-for-customer",
        {"code": "ONLY_ONE", "subscriptionId": subscription},
    )
    answers = clients.many(
        times, lambda _: clients.http.post(redeem, params={"customerId": customer}, json=asked)
    )
    assert statuses(answers) == {201: 1, 409: times - 1}
    assert clients.count("SELECT count(*) FROM coupon_redemptions") == 1
    assert clients.count("SELECT redemption_count FROM coupons") == 1


def test_of_two_hundred_redemptions_of_a_coupon_for_one_exactly_one_wins(clients: Clients) -> None:
    redemptions(clients, 200)


@pytest.mark.slow
def test_of_a_thousand_redemptions_of_a_coupon_for_one_exactly_one_wins(clients: Clients) -> None:
    redemptions(clients, 1000)


def test_a_hundred_requests_with_one_idempotency_key_do_it_once_and_get_the_same_bytes(
    clients: Clients,
) -> None:
    headers = {"Idempotency-Key": "the one"}
    answers = clients.many(100, lambda _: clients.http.post("/api/v1/customers", json=ANN, headers=headers))
    assert statuses(answers) == {201: 100}
    assert len({(answer.content, answer.headers["etag"]) for answer in answers}) == 1
    assert clients.count("SELECT count(*) FROM customers") == 1


def test_a_customer_gets_the_same_offering_once_however_many_ask(clients: Clients) -> None:
    customer, offering = clients.made("/api/v1/customers", ANN)["id"], clients.offering()
    asked = clients.subscription(customer, offering)
    answers = clients.many(50, lambda _: clients.http.post("/api/v1/subscriptions", json=asked))
    assert statuses(answers) == {201: 1, 409: 49}
    assert clients.count("SELECT count(*) FROM subscriptions") == 1


def test_of_many_edits_based_on_one_revision_one_wins(clients: Clients) -> None:
    made = clients.http.post("/api/v1/customers", json=ANN)
    path, headers = f"/api/v1/customers/{made.json()['data']['id']}", {"If-Match": made.headers["etag"]}
    answers = clients.many(
        AT_ONCE, lambda n: clients.http.patch(path, json={"name": f"Ann {n}"}, headers=headers)
    )
    assert statuses(answers) == {200: 1, 412: AT_ONCE - 1}
    winner = next(answer.json()["data"] for answer in answers if answer.status_code == 200)
    assert clients.http.get(path).json()["data"] == winner and winner["revision"] == 2


def test_an_offerings_code_is_given_once(clients: Clients) -> None:
    clients.offering("first")
    plan = clients.http.get("/api/v1/rateplans/search?name=first").json()["data"][0]["id"]
    about = {
        "code": "pro",
        "name": "Pro",
        "type": "STANDALONE",
        "status": "ACTIVE",
        "primaryRatePlanId": plan,
    }
    answers = clients.many(AT_ONCE, lambda _: clients.http.post("/api/v1/offerings", json=about))
    assert statuses(answers) == {201: 1, 409: AT_ONCE - 1}


def test_invoice_numbers_have_no_gap_and_no_twin_while_runs_settle_and_people_finalize(
    clients: Clients,
) -> None:
    tenant = clients.http.headers["X-Tenant-Id"]
    issuer = clients.http.get("/api/v1/billing-entities").json()["data"][0]["id"]

    def run(*customers: str) -> None:
        bills = [settlement(each, tenant=tenant, billing_entity=issuer) for each in customers]
        with session_scope(clients.database_url) as session:
            settle(session, bills, [line(each, tenant=tenant) for each in customers])

    def ask(number: int) -> httpx.Response:
        if number % 3 == 0:
            run(f"a{number}", f"b{number}")
        return clients.http.post("/api/v1/invoices/inv_ann/finalize")

    run("ann")
    answers = clients.many(60, ask)
    assert statuses(answers) == {
        200: 60
    }  # finalizing what is finalized is no mistake, but only the first one did it
    assert clients.count("SELECT count(*) FROM audit_log WHERE action = 'INVOICE_FINALIZED'") == 1
    shown = clients.http.get("/api/v1/invoices", params={"size": 500}).json()["data"]
    numbers = sorted(int(each["number"].rsplit("-", 1)[1]) for each in shown)
    assert numbers == list(range(1, 42))
    assert [each["status"] for each in shown if each["id"] == "inv_ann"] == ["OPEN"]
