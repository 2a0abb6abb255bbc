"""What all routes share: repeats, exact numbers, problems, limits, pages, the audit log, the API reference."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from api.control.app import create_app
from api.control.openapi import operations
from api.control.pages import known
from api.control.rates import WINDOW
from api.control.settings import ControlSettings
from storage.database import session_scope
from storage.repositories.idempotency import forget_old
from tests.api.control.conftest import Api, Installation, problem

KEYS, TEAMS, CUSTOMERS = "/api/v1/operator-keys", "/api/v1/teams", "/api/v1/customers"
ANN = {"name": "Ann", "email": "ann@x.example", "plan": "STANDARD", "defaultCurrency": "USD"}
KEY = {"name": "CI", "role": "VIEWER"}


def count(api: Api, table: str) -> int:
    with session_scope(api.database_url) as session:
        return int(session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def test_the_same_request_again_gets_the_same_bytes_even_of_a_secret(api: Api) -> None:
    first, again = (api.post(KEYS, KEY, idempotency_key="one") for _ in range(2))
    assert (first.status_code, first.content, first.headers["etag"]) == (
        201,
        again.content,
        again.headers["etag"],
    )
    assert again.headers["idempotency-replayed"] == "true" and again.status_code == 201
    assert count(api, "operator_keys") == 1
    with session_scope(api.database_url) as session:
        stored = str(session.execute(text("SELECT * FROM idempotency_keys")).all())
    assert first.json()["data"]["secret"] not in stored


def test_twenty_at_once_with_one_key_do_it_once(api: Api) -> None:
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: api.post(KEYS, KEY, idempotency_key="one"), range(20)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert count(api, "operator_keys") == 1


def test_the_key_of_another_request_is_refused(api: Api) -> None:
    api.post(KEYS, KEY, idempotency_key="one")
    problem(api.post(KEYS, {**KEY, "name": "other"}, idempotency_key="one"), 422, "IDEMPOTENCY_KEY_REUSED")
    problem(api.post(KEYS, KEY, idempotency_key="one", role="OWNER"), 422, "IDEMPOTENCY_KEY_REUSED")
    assert api.post(KEYS, KEY, idempotency_key="one", tenant="rival").status_code == 201


def test_a_refused_request_leaves_its_key_free(api: Api) -> None:
    problem(api.post(KEYS, {"name": "CI"}, idempotency_key="one"), 422)
    assert api.post(KEYS, KEY, idempotency_key="one").status_code == 201


def test_an_answer_is_kept_for_a_day(api: Api) -> None:
    first = api.post(KEYS, KEY, idempotency_key="one")
    with session_scope(api.database_url) as session:
        forget_old(session, datetime.now(UTC) + timedelta(hours=23))
    assert api.post(KEYS, KEY, idempotency_key="one").content == first.content
    with session_scope(api.database_url) as session:
        session.execute(text("UPDATE idempotency_keys SET created_at = created_at - interval '24 hours'"))
    assert api.post(KEYS, KEY, idempotency_key="one").content != first.content
    with session_scope(api.database_url) as session:
        forget_old(session, datetime.now(UTC) + timedelta(hours=25))
    assert count(api, "idempotency_keys") == 0


def test_an_idempotency_key_has_a_form(api: Api) -> None:
    problem(api.post(KEYS, KEY, idempotency_key=""), 400)
    problem(api.post(KEYS, KEY, idempotency_key="x" * 256), 422, field="idempotency-key")


def test_numbers_in_bodies_keep_all_their_digits(api: Api) -> None:
    customer = api.made(CUSTOMERS, ANN)["id"]
    body = f'{{"name":"T","customerId":"{customer}","budget":{{"amount":123456789012.12,"currency":"USD"}}}}'
    assert api.post(TEAMS, content=body.encode()).json()["data"]["budget"]["amount"] == "123456789012.12"
    tiny = body.replace("123456789012.12", "0.1000000000000000000000000000001")
    said = problem(api.post(TEAMS, content=tiny.encode()), 422, field="budget.amount")["detail"]
    assert "0.1000000000000000000000000000001" in said


@pytest.mark.parametrize("content", [b'{"a":', b"\xff", b'{"a": NaN}', b"[" * 100_000])
def test_what_is_no_json_is_a_bad_request(api: Api, content: bytes) -> None:
    problem(api.post(KEYS, content=content), 400)


@pytest.mark.parametrize("content", [b"[]", b"null", b"3", b'"x"'])
def test_a_body_that_is_no_object_is_refused(api: Api, content: bytes) -> None:
    problem(api.post(KEYS, content=content), 422)


def test_a_body_too_large_is_refused(api: Api) -> None:
    problem(api.post(KEYS, content=b'{"name":"' + b"x" * (10 * 1024 * 1024) + b'"}'), 413)


def test_a_nul_is_never_our_fault(api: Api) -> None:
    problem(api.get(f"{KEYS}/a%00b"), 404)
    problem(api.get("/api/v1/audit-log?actor=%00"), 400)
    problem(api.post(KEYS, {"name": "a\0b", "role": "VIEWER"}), 422, field="name")


def test_what_is_not_there_is_a_problem_too(api: Api) -> None:
    problem(api.get("/api/v1/nothing"), 404)
    problem(api.put(KEYS, {}), 405)


def test_a_tenant_must_be_named_and_exist(api: Api) -> None:
    problem(api.get(KEYS, tenant=""), 400)
    problem(api.get(KEYS, tenant="nobody"), 404, "TENANT_NOT_FOUND")


def test_every_answer_says_how_much_is_left_and_the_limit_holds(api: Api) -> None:
    assert {
        "x-ratelimit-limit",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
        "x-ratelimit-window",
    } <= api.get("/nothing").headers.keys()
    settings = ControlSettings(api.database_url, api.home, requests_per_minute=3)
    app = create_app(settings)
    time.sleep(max(0.0, (WINDOW - time.time() % WINDOW + 0.1) if WINDOW - time.time() % WINDOW < 2 else 0.0))
    with TestClient(app) as client:
        few = Api(Installation(app, api.home), client, api.database_url)
        answers = [few.get(KEYS) for _ in range(4)]
        assert few.get(KEYS, token=few.key("acme", "VIEWER"), tenant="").status_code == 200
        assert few.get("/actuator/health").status_code == 200
    assert [each.status_code for each in answers] == [200, 200, 200, 429]
    body = problem(answers[3], 429, "RATE_LIMITED")
    assert (
        body["title"] == "Too Many Requests" and str(body["retryAfter"]) == answers[3].headers["retry-after"]
    )
    assert answers[3].headers["x-ratelimit-remaining"] == "0" and "x-request-id" in answers[3].headers


def test_pages_by_cursor_neither_repeat_nor_miss_a_row(api: Api) -> None:
    for number in range(7):
        api.made(KEYS, {"name": f"key {number % 3}", "role": "VIEWER"})
    for sort in ("name", "name,desc", "createdAt,desc"):
        seen, url = [], f"{KEYS}?size=2&sort={sort}"
        following: str | None = ""
        while following is not None:
            answer = api.get(url + (f"&cursor={following}" if following else "")).json()
            seen += [row["id"] for row in answer["data"]]
            assert answer["meta"]["totalElements"] == 7
            following = answer["meta"].get("nextCursor")
        by_number = [row["id"] for page in range(4) for row in api.get(f"{url}&page={page}").json()["data"]]
        assert seen == by_number and len(set(seen)) == 7


def test_a_cursor_is_good_for_its_own_list_only(api: Api) -> None:
    for _ in range(2):
        api.made(KEYS, KEY)
    cursor = api.get(f"{KEYS}?size=1").json()["meta"]["nextCursor"]
    problem(api.get(f"{KEYS}?size=1&sort=name,desc&cursor={cursor}"), 422, field="cursor")
    for wrong in ("x", "AAAA", cursor[:-3]):
        problem(api.get(f"{KEYS}?cursor={wrong}"), 422, field="cursor")
    problem(api.get(f"{KEYS}?sort=secret"), 422, field="sort")
    problem(api.get(f"{KEYS}?page=-1"), 422, field="page")


def entry(api: Api, query: str = "") -> dict[str, Any]:
    found: dict[str, Any] = api.get(f"/api/v1/audit-log{query}").json()["data"][0]
    return found


def test_an_act_is_in_the_audit_log_with_actor_and_request(api: Api) -> None:
    made = api.post(KEYS, KEY, role="OWNER", X_Request_Id="req-7").json()["data"]
    found = entry(api, "?action=OPERATOR_KEY_CREATED")
    assert found["actor"] == {"user_id": "opk_owner", "role": "OWNER", "ip": "testclient"}
    assert found["target"] == {"type": "operatorKey", "id": made["id"], "name": "CI"}
    assert found["changes"]["role"] == {"before": None, "after": "VIEWER"}
    assert found["metadata"] == {"reason": None, "request_id": "req-7"}
    assert found["event_id"].startswith("evt_") and found["timestamp"].endswith("Z")


def test_the_audit_log_is_filtered(api: Api) -> None:
    key = api.made(KEYS, KEY)["id"]
    api.delete(f"{KEYS}/{key}")
    soon = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    for query, found in {
        f"?targetId={key}": 2,
        "?action=OPERATOR_KEY_REVOKED": 1,
        "?actor=operator&targetType=operatorKey": 2,
        "?actor=nobody": 0,
        f"?from={soon}": 0,
        f"?to={soon}&targetType=operatorKey": 2,
    }.items():
        assert api.get(f"/api/v1/audit-log{query}").json()["meta"]["totalElements"] == found, query
    assert api.get("/api/v1/audit-log", tenant="rival").json()["data"] == []
    problem(api.get("/api/v1/audit-log?from=yesterday"), 422, field="from")


def test_the_chain_is_verified_over_http(api: Api) -> None:
    api.made(KEYS, KEY)
    intact = {
        "intact": True,
        "entries": 1,
        "firstBroken": None,
        "problem": None,
        "newestHash": entry(api)["hash"],
    }
    assert api.get("/api/v1/audit-log/verify").json()["data"] == intact
    with session_scope(api.database_url) as session:
        session.execute(text("ALTER TABLE audit_log DISABLE TRIGGER audit_log_append_only"))
        session.execute(text("UPDATE audit_log SET actor = 'somebody else'"))
    broken = api.get("/api/v1/audit-log/verify").json()["data"]
    assert broken["firstBroken"] == entry(api)["event_id"] and broken["intact"] is False


def test_the_document_describes_every_operation(api: Api) -> None:
    document = api.client.get("/v3/api-docs").json()
    without = []
    for path, method, operation in operations(document):
        if (
            "x-right" in operation
            and not {"400", "401", "403", "404", "422", "429", "503"} <= operation["responses"].keys()
        ):
            without.append((method, path, "problems"))
        bodies = operation.get("requestBody", {}).get("content", {})
        without += [(method, path, kind) for kind, body in bodies.items() if body.get("example") is None]
        if not operation.get("summary") or not operation.get("tags"):
            without.append((method, path, "words"))
    assert without == []


def test_the_reference_is_readable_without_the_internet(api: Api) -> None:
    page = api.client.get("/docs")
    assert page.status_code == 200 and "text/html" in page.headers["content-type"]
    assert "/api/v1/operator-keys" in page.text
    assert not re.search(r"<(script|link|img|iframe)|@import|url\(", page.text)


def test_every_kind_of_problem_has_a_page(api: Api) -> None:
    for slug in (
        "unknown-metric",
        "stale-edit",
        "idempotency-key-reused",
        "not-found",
        "operator-key-not-found",
    ):
        assert slug in known()
        assert slug in api.client.get(f"/errors/{slug}").text
    assert "/errors/conflict" in api.client.get("/errors").text
    problem(api.client.get("/errors/nothing"), 404)
