"""Single events over HTTP: where one is and why, voided, amended, and refused with a reason."""

from __future__ import annotations

from datetime import UTC, datetime

from redis import Redis

from storage import event_log, hot_state
from storage.database import session_scope
from storage.drain import to_raw
from storage.repositories.rights import tenant_rights
from tests.api.control.conftest import Api, problem
from tests.api.control.examples import World

WHY = {"reason": "test traffic"}


def test_a_voided_event_is_recorded_audited_and_in_the_log_once(api: Api, redis_url: str) -> None:
    key = World(api, "acme")["/api/v1/events"]
    done = api.post(f"/api/v1/events/{key}/void", WHY, idempotency_key="once")
    again = api.post(f"/api/v1/events/{key}/void", WHY, idempotency_key="once")
    assert (done.status_code, done.json()["data"]["kind"], done.json()["data"]["eventKey"]) == (
        201,
        "VOID",
        key,
    )
    assert again.json() == done.json()
    with Redis.from_url(redis_url) as redis:
        (entry,) = event_log.read(redis, "acme")
    (row,) = to_raw("acme", [entry], first=1).to_dicts()
    assert (row["act"], row["corrects"], row["quantity"], row["door"]) == ("VOID", key, 0, "ACCEPTED")
    assert row["source"] == f"operator:{done.json()['data']['id']}"
    told = api.get(f"/api/v1/events/{key}").json()["data"]
    assert (told["state"], told["acts"][0]["sentAt"] is not None) == ("VOIDED", True)
    (audited,) = [
        each for each in api.get("/api/v1/audit-log").json()["data"] if each["action"] == "EVENT_VOIDED"
    ]
    assert audited["target"]["id"] == key
    problem(api.post(f"/api/v1/events/{key}/void", WHY), 409, "EVENT_ALREADY_CORRECTED")


def test_an_amendment_shows_what_it_changes_and_a_second_one_is_told_of_it(api: Api, redis_url: str) -> None:
    api.made("/api/v1/metrics", {"key": "api_calls", "name": "API Calls", "aggregationType": "SUM"})
    with session_scope(api.database_url) as session, Redis.from_url(redis_url) as redis:
        hot_state.publish(redis, tenant_rights(session, "acme", datetime.now(UTC)))
    key = World(api, "acme")["/api/v1/events"]
    body = WHY | {"quantity": 2.5, "properties": {"region": "eu"}}
    done = api.post(f"/api/v1/events/{key}/amend", body).json()["data"]
    assert done["changes"] == {
        "quantity": {"before": "8", "after": "2.5"},
        "properties": {"before": None, "after": {"region": "eu"}},
    }
    refused = problem(api.post(f"/api/v1/events/{key}/amend", body), 409, "EVENT_ALREADY_CORRECTED")
    assert done["actKey"] in refused["detail"]


def test_what_cannot_be_corrected_says_why(api: Api) -> None:
    key = World(api, "acme")["/api/v1/events"]
    problem(api.post("/api/v1/events/nobody-sent-this/void", WHY), 404, "EVENT_NOT_FOUND")
    problem(api.post(f"/api/v1/events/{key}/void", WHY, tenant="rival"), 404, "EVENT_NOT_FOUND")
    problem(api.get(f"/api/v1/events/{key}", tenant="rival"), 404, "EVENT_NOT_FOUND")
    problem(api.post(f"/api/v1/events/{key}/void", {}), 422, field="reason")
    problem(api.post(f"/api/v1/events/{key}/amend", WHY), 422, field="quantity")
    problem(api.post(f"/api/v1/events/{key}/amend", WHY | {"quantity": "lots"}), 422, field="quantity")
    problem(api.post(f"/api/v1/events/{key}/amend", WHY | {"customerId": "bob"}), 422, field="customerId")
    problem(api.post(f"/api/v1/events/{key}/void", WHY, role="DEVELOPER"), 403)
    assert api.get(f"/api/v1/events/{key}", role="DEVELOPER").json()["data"]["state"] == "COUNTED"
