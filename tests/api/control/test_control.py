"""The management door over HTTP, on a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.control.app import create_app
from api.control.settings import ControlSettings
from storage.database import session_scope
from storage.repositories.bill_requests import queued
from storage.repositories.invoices import settle
from storage.secret_files import operator_token
from tests.storage.test_invoices import line, settlement
from tests.storage.worlds import ACME, applied

NOVEMBER = {"billingPeriodStart": "2023-11-01T00:00:00Z", "billingPeriodEnd": "2023-12-01T00:00:00Z"}


@asynccontextmanager
async def serving(settings: ControlSettings) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(settings)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://door") as client,
    ):
        yield client


@pytest.fixture
async def door(database_url: str, redis_url: str, home: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The door, with two tenants; acme has three invoices."""
    with session_scope(database_url) as session:
        applied(session, ACME)
        applied(session, {"tenant": {"id": "globex"}})
        settle(session, [settlement(each) for each in ("ann", "bob", "cleo")], [line("ann")])
    async with serving(ControlSettings(database_url, home, redis_url)) as client:
        client.headers["Authorization"] = f"Bearer {operator_token(home)}"
        client.headers["X-Tenant-Id"] = "acme"
        yield client


def problem(answer: httpx.Response, status: int, code: str | None = None) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert (body["status"], body.get("code")) == (status, code)
    assert {"type", "title", "detail", "instance"} <= body.keys()
    return body


async def test_health_names_its_parts_and_needs_no_token(door: httpx.AsyncClient) -> None:
    answer = await door.get("/actuator/health", headers={"Authorization": ""})
    assert answer.json() == {
        "status": "UP",
        "components": {"db": {"status": "UP"}, "redis": {"status": "UP"}},
    }
    assert "x-request-id" in answer.headers


async def test_health_is_down_without_a_database(home: Path) -> None:
    settings = ControlSettings("postgresql://127.0.0.1:1/nowhere", home)
    async with serving(settings) as client:
        answer = await client.get("/actuator/health")
    assert (answer.status_code, answer.json()["components"]["db"]) == (503, {"status": "DOWN"})


@pytest.mark.parametrize("token", ["", "Bearer wrong", "Bearer ", "Basic abc", "Bearer ñ"])
async def test_nobody_gets_in_without_the_operators_token(door: httpx.AsyncClient, token: str) -> None:
    problem(
        await door.get("/api/v1/invoices", headers={"Authorization": token.encode("latin-1")}),
        401,
        "UNAUTHORIZED",
    )


async def test_a_request_must_say_which_tenant_it_is_about(door: httpx.AsyncClient) -> None:
    problem(await door.get("/api/v1/invoices", headers={"X-Tenant-Id": ""}), 400, "BAD_REQUEST")
    problem(await door.get("/api/v1/invoices", headers={"X-Tenant-Id": "nobody"}), 404, "TENANT_NOT_FOUND")


async def test_invoices_come_in_pages(door: httpx.AsyncClient) -> None:
    first = (await door.get("/api/v1/invoices?size=2")).json()
    second = (await door.get("/api/v1/invoices?size=2&page=1&month=2023-11")).json()
    assert [row["customerId"] for row in first["data"] + second["data"]] == ["ann", "bob", "cleo"]
    assert first["success"] is True
    assert first["meta"].items() >= {"page": 0, "size": 2, "totalElements": 3, "totalPages": 2}.items()
    assert (await door.get("/api/v1/invoices?status=PAID")).json()["data"] == []


async def test_a_wrong_parameter_is_named(door: httpx.AsyncClient) -> None:
    body = problem(await door.get("/api/v1/invoices?size=0"), 422, "INVALID_FIELD")
    assert "size" in body["fieldErrors"]
    problem(await door.get("/api/v1/invoices?month=11/2023"), 422, "NOT_A_MONTH")


async def test_an_invoice_opens_into_lines_and_tiers(door: httpx.AsyncClient) -> None:
    data = (await door.get("/api/v1/invoices/INV-2023-0001")).json()["data"]
    assert (data["id"], data["total"], data["status"]) == ("inv_ann", "10.0000", "DRAFT")
    assert data["lineItems"][0]["tiers"][0]["unitPrice"] == "0.01"


@pytest.mark.parametrize("path", ["inv_ann", "INV-2023-0001"])
async def test_another_tenants_invoice_is_not_found(door: httpx.AsyncClient, path: str) -> None:
    problem(
        await door.get(f"/api/v1/invoices/{path}", headers={"X-Tenant-Id": "globex"}),
        404,
        "INVOICE_NOT_FOUND",
    )
    answer = await door.post(f"/api/v1/invoices/{path}/finalize", headers={"X-Tenant-Id": "globex"})
    problem(answer, 404, "INVOICE_NOT_FOUND")


async def test_an_invoice_is_finalized_then_paid_and_no_longer_voidable(door: httpx.AsyncClient) -> None:
    problem(await door.post("/api/v1/invoices/inv_ann/pay"), 409, "INVOICE_STATE_CONFLICT")
    assert (await door.post("/api/v1/invoices/inv_ann/finalize")).json()["data"]["status"] == "OPEN"
    assert (await door.post("/api/v1/invoices/inv_ann/pay")).json()["data"]["status"] == "PAID"
    problem(
        await door.post("/api/v1/invoices/inv_ann/void", json={"reason": "x"}), 409, "INVOICE_STATE_CONFLICT"
    )
    problem(await door.post("/api/v1/invoices/inv_bob/void", json={}), 422, "INVALID_FIELD")


async def test_a_bill_run_is_requested_started_and_followed(
    door: httpx.AsyncClient, database_url: str
) -> None:
    created = await door.post("/api/v1/bill-runs", json=NOVEMBER, headers={"Idempotency-Key": "a"})
    again = await door.post("/api/v1/bill-runs", json=NOVEMBER, headers={"Idempotency-Key": "a"})
    run = created.json()["data"]["id"]
    assert (created.status_code, again.json()["data"]["id"]) == (201, run)
    started = await door.post(f"/api/v1/bill-runs/{run}/execute")
    assert (started.status_code, started.json()["data"]["status"]) == (202, "QUEUED")
    assert (await door.get(f"/api/v1/bill-runs/{run}")).json()["data"]["month"] == "2023-11"
    with session_scope(database_url) as session:
        assert [row.id for row in queued(session)] == [run]


async def test_a_second_run_at_once_is_a_conflict(door: httpx.AsyncClient) -> None:
    runs = [(await door.post("/api/v1/bill-runs", json=NOVEMBER)).json()["data"]["id"] for _ in range(2)]
    assert (await door.post(f"/api/v1/bill-runs/{runs[0]}/execute")).status_code == 202
    problem(await door.post(f"/api/v1/bill-runs/{runs[1]}/execute"), 409, "BILL_RUN_IN_PROGRESS")
    problem(
        await door.get(f"/api/v1/bill-runs/{runs[0]}", headers={"X-Tenant-Id": "globex"}),
        404,
        "BILL_RUN_NOT_FOUND",
    )


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"billingPeriodEnd": "2023-12-02T00:00:00Z"}, "billingPeriodStart"),
        ({"billingPeriodStart": "2023-10-01T00:00:00Z"}, "billingPeriodStart"),
        ({"billingPeriodStart": "soon"}, "billingPeriodStart"),
        ({"targetScope": "OFFERING"}, "offeringIds"),
        ({"targetScope": "CUSTOMER"}, "customerIds"),
        ({"environment": "TEST", "autoFinalize": True}, "autoFinalize"),
    ],
)
async def test_a_run_that_cannot_be_is_refused_by_field(
    door: httpx.AsyncClient, change: dict[str, Any], field: str
) -> None:
    answer = await door.post("/api/v1/bill-runs", json={**NOVEMBER, **change})
    assert field in problem(answer, 422, "INVALID_FIELD")["fieldErrors"]


async def test_truncated_json_is_a_bad_request(door: httpx.AsyncClient) -> None:
    problem(
        await door.post("/api/v1/bill-runs", content=b'{"a":', headers={"Content-Type": "application/json"}),
        400,
    )


async def test_data_docs_are_served_and_nothing_beside_them(door: httpx.AsyncClient, home: Path) -> None:
    (home / "data-docs" / "index.html").write_text("<h1>Gates</h1>", encoding="utf-8")
    assert "Gates" in (await door.get("/data-docs/")).text
    problem(await door.get("/data-docs/..%2fsecrets/operator_token"), 404)
