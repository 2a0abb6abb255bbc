"""Findings of replays over HTTP: shown, approved once, refused when something was corrected since."""

from __future__ import annotations

from typing import Any

from sqlalchemy import insert

from storage.database import session_scope
from storage.evidence_key import evidence_keys
from storage.tables.corrections import ReplayRow
from tests.api.control.conftest import Api, problem
from tests.api.control.examples import World


def finding(api: Api, number: int, customer: str) -> str:
    line: dict[str, Any] = {
        "lineId": "ln_1", "customerId": customer, "subscriptionId": "sub_1", "invoiceId": "inv_1", "description": "Calls",
        "unit": "calls", "periodStart": "2026-03-01T00:00:00Z", "periodEnd": "2026-04-01T00:00:00Z", "currency": "USD",
        "adjusted": "0", "difference": "-12.5",
    }  # fmt: skip
    about = {
        "tenant_id": "acme",
        "id": f"rpy_{number}",
        "month": "2026-03",
        "source": "REPLAY",
        "status": "PROPOSED",
    }
    with session_scope(api.database_url) as session:
        session.execute(
            insert(ReplayRow),
            about | {"content_hash": f"{number}", "code_version": "1", "differences": [line]},
        )
    return f"rpy_{number}"


def test_an_approved_finding_becomes_adjustments_once(api: Api) -> None:
    customer = World(api, "acme")["/api/v1/customers"]
    first, second = finding(api, 1, customer), finding(api, 2, customer)
    assert api.get(f"/api/v1/replays/{first}").json()["data"]["status"] == "PROPOSED"
    problem(api.post(f"/api/v1/replays/{first}/approve", {}), 422, field="reason")
    for _ in range(2):
        told = api.post(f"/api/v1/replays/{first}/approve", {"reason": "late usage"}).json()["data"]
        assert (told["status"], told["reason"]) == ("APPROVED", "late usage")
        (adjustment,) = told["adjustments"]
        assert (adjustment["amount"], adjustment["status"]) == ("-12.5", "PENDING")
        assert adjustment["description"] == "Adjustment for 2026-03: Calls"
    problem(api.post(f"/api/v1/replays/{second}/approve", {"reason": "again"}), 409, "STALE_REPLAY")
    problem(api.post("/api/v1/replays/rpy_0/approve", {"reason": "x"}), 404, "REPLAY_NOT_FOUND")
    assert [row["id"] for row in api.get("/api/v1/replays").json()["data"]] == [first, second]
    entries = api.get("/api/v1/audit-log?action=REPLAY_APPROVED").json()
    assert "late usage" in str(entries)


def test_the_key_evidence_is_checked_with_is_public(api: Api) -> None:
    assert api.client.get("/.well-known/evidence-keys.json").json() == evidence_keys(api.home)


def test_a_tenant_may_let_corrections_approve_themselves(api: Api) -> None:
    path = "/api/v1/organization-settings"
    changed = api.patch(path, {"corrections": {"autoApprove": True}})
    assert changed.status_code == 200, changed.text
    assert api.get(path).json()["data"]["corrections"] == {"autoApprove": True}
