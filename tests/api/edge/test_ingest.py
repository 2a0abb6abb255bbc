"""The ingest routes over HTTP against a real Valkey."""

from __future__ import annotations

import json
import time

import httpx
import pytest
from redis import Redis

from storage import event_log, hot_state
from tests.api.edge.world import CUSTOMER_KEY, event, rights, serving

MINUTE_MS = 60_000


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def logged(redis: Redis) -> list[tuple[str, list[dict[str, object]]]]:
    entries = event_log.read(redis, "t1")
    return [(entry.verdicts, [json.loads(line) for line in entry.body.split(b"\n")]) for entry in entries]


async def test_an_accepted_event_is_in_the_log(edge: httpx.AsyncClient, redis: Redis) -> None:
    answer = await edge.post("/v1/ingest", json=event())
    assert answer.status_code == 202
    assert answer.json() == {"accepted": 1, "duplicates": 0, "failed": 0, "errors": []}
    [(verdicts, [record])] = logged(redis)
    assert (verdicts, record["c"], record["u"], record["q"]) == ("A", "acme", "api_calls", "1")
    assert event_log.tenants(redis) == ["t1"]


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"occurredAt": now_ms() - 120 * MINUTE_MS}, 202, None),
        ({"occurredAt": now_ms() + 24 * 60 * MINUTE_MS}, 422, "FUTURE_TIMESTAMP"),
        ({"occurredAt": now_ms() - 91 * 24 * 60 * MINUTE_MS}, 422, "TOO_OLD"),
        ({"metricName": "nope"}, 422, "UNKNOWN_METRIC"),
        ({"quantity": "ten"}, 422, "SCHEMA_INVALID"),
        ({"quantity": -1}, 422, "NEGATIVE_QUANTITY"),
        ({"customerId": None}, 422, "MISSING_CUSTOMER"),
        ({"metricName": "system.session.heartbeat", "customerId": "system", "quantity": 0}, 202, None),
    ],
)
@pytest.mark.parametrize("path", ["/v1/ingest", "/v1/meter"])
async def test_a_single_event_gets_its_own_status(
    edge: httpx.AsyncClient, redis: Redis, path: str, fields: dict[str, object], status: int, code: str | None
) -> None:
    answer = await edge.post(path, json=event(**fields))
    assert (answer.status_code, answer.json().get("code")) == (status, code)
    [(verdicts, [record])] = logged(redis)
    assert (verdicts, record["x"]) == ("A" if code is None else "X", code)


async def test_a_problem_names_every_field_in_both_ways(edge: httpx.AsyncClient) -> None:
    answer = await edge.post("/v1/ingest", json=event(quantity="ten", metricName="nope"))
    body = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (body["type"], body["status"], body["instance"]) == ("/errors/schema-invalid", 422, "/v1/ingest")
    assert [error["field"] for error in body["errors"]] == ["quantity", "metricName"]
    assert body["fieldErrors"]["quantity"].startswith('"ten" is not a number')


async def test_a_duplicate_is_no_error_and_a_conflict_is(edge: httpx.AsyncClient) -> None:
    await edge.post("/v1/meter", json=event())
    again = await edge.post("/v1/meter", json=event())
    other = await edge.post("/v1/meter", json=event(quantity=2))
    assert (again.status_code, again.json()["duplicates"]) == (202, 1)
    assert (other.status_code, other.json()["code"]) == (409, "IDEMPOTENCY_CONFLICT")


@pytest.mark.parametrize(
    "path",
    ["/v1/ingest/batch", "/v1/ingest/events", "/v1/ingest/events/batch", "//v1/ingest/batch", "/v1/ingest"],
)
async def test_in_a_batch_the_bad_events_fail_and_the_others_pass(
    edge: httpx.AsyncClient, redis: Redis, path: str
) -> None:
    events = [
        event("a"),
        event("b", metricName="nope"),
        event("a"),
        "text",
        event("a", quantity=5),
        event("c"),
    ]
    answer = await edge.post(f"http://edge{path}", json={"events": events})
    body = answer.json()
    assert answer.status_code == 202
    assert (body["accepted"], body["duplicates"], body["failed"]) == (2, 1, 3)
    assert [(error["index"], error["code"]) for error in body["errors"]] == [
        (1, "UNKNOWN_METRIC"), (3, "SCHEMA_INVALID"), (4, "IDEMPOTENCY_CONFLICT"),
    ]  # fmt: skip
    [(verdicts, records)] = logged(redis)
    assert verdicts == "AXDXCA" and [record["x"] for record in records][3] == "SCHEMA_INVALID"


async def test_the_log_keeps_each_event_exactly_as_sent(edge: httpx.AsyncClient, redis: Redis) -> None:
    texts = [
        '{ "customerId":"acme","metricName":"tokens", "quantity": 0.10000, "idempotencyKey":"é…" ,\n"x": [1.50]}',
        '{"customerId":"acme","metricName":"tokens","quantity":"1","idempotencyKey":"\\ud800"}',
    ]
    answer = await edge.post("/v1/ingest/batch", content=('{"events":[' + ",".join(texts) + "]}").encode())
    assert (answer.json()["accepted"], answer.json()["failed"]) == (1, 1)
    [(_, records)] = logged(redis)
    assert [record["j"] for record in records] == texts
    assert records[0]["q"] == "0.1"


async def test_an_empty_batch_is_fine(edge: httpx.AsyncClient, redis: Redis) -> None:
    answer = await edge.post("/v1/ingest/batch", json={"events": []})
    assert (answer.status_code, answer.json()["accepted"]) == (202, 0)
    assert event_log.pending(redis, "t1") == 0


async def test_the_gateways_shape_and_the_agents_shape_are_understood(
    edge: httpx.AsyncClient, redis: Redis
) -> None:
    meter = {
        "event_type": "usage",
        "metric_id": "api_calls",
        "quantity": 2,
        "properties": {"a": 1},
        "customerId": "acme",
    }
    agent = {"tenantId": "t1", "eventType": "agent_step", "metricKey": "tokens", "value": 3, "properties": {}}
    assert (await edge.post("/v1/meter", json=meter)).status_code == 202
    answer = await edge.post("/v1/ingest", json={"events": [agent]}, headers=bearer(CUSTOMER_KEY))
    assert answer.json()["accepted"] == 1


async def test_an_event_of_the_events_route_counts_as_one(edge: httpx.AsyncClient, redis: Redis) -> None:
    answer = await edge.post(
        "/v1/events", json={"event": "api_calls", "endpoint": "/x", "customer_id": "acme"}
    )
    assert answer.status_code == 202
    [(_, [record])] = logged(redis)
    assert (record["u"], record["q"]) == ("api_calls", "1")


async def test_without_key_and_time_equal_events_of_a_batch_all_count(edge: httpx.AsyncClient) -> None:
    answer = await edge.post("/v1/ingest/batch", json={"events": [event(None)] * 3})
    assert answer.json()["accepted"] == 3


@pytest.mark.parametrize(
    "content", [b'{"events":[{"customerId":"a', b"", b"[]", b"nonsense", b'{"a":"\xff"}', b"[" * 5000]
)
@pytest.mark.parametrize("path", ["/v1/ingest/batch", "/v1/ingest"])
async def test_what_is_no_json_object_is_a_400(
    edge: httpx.AsyncClient, redis: Redis, path: str, content: bytes
) -> None:
    answer = await edge.post(path, content=content)
    assert answer.status_code == 400
    assert event_log.pending(redis, "t1") == 0


@pytest.mark.parametrize("body", [{}, {"events": 4}, {"events": None}])
async def test_a_batch_without_a_list_is_a_422(edge: httpx.AsyncClient, body: dict[str, object]) -> None:
    answer = await edge.post("/v1/ingest/batch", json=body)
    assert (answer.status_code, "events" in answer.json()["fieldErrors"]) == (422, True)


async def test_a_body_beyond_ten_mebibytes_is_a_413(edge: httpx.AsyncClient) -> None:
    large = b'{"events":[' + b" " * (10 * 1024 * 1024) + b"]}"
    assert (await edge.post("/v1/ingest/batch", content=large)).status_code == 413

    async def streamed():  # type: ignore[no-untyped-def]
        for start in range(0, len(large), 1 << 20):
            yield large[start : start + (1 << 20)]

    assert (await edge.post("/v1/ingest/batch", content=streamed())).status_code == 413


async def test_more_events_than_allowed_are_a_413(redis: Redis, redis_url: str) -> None:
    async with serving(redis_url, max_events=2) as edge:
        answer = await edge.post("/v1/ingest/batch", json={"events": [event(str(n)) for n in range(3)]})
    assert answer.status_code == 413
    assert event_log.pending(redis, "t1") == 0


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic abc", "Bearer afo_operator", "Bearer sk_live_fab_00112233"]
)
@pytest.mark.parametrize("path", ["/v1/ingest", "/v1/ingest/batch", "/v1/canAccess"])
async def test_without_a_live_key_it_is_a_401(edge: httpx.AsyncClient, header: str, path: str) -> None:
    answer = await edge.post(path, json=event(), headers={"Authorization": header})
    assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHORIZED")


async def test_a_revoked_key_stops_working_within_the_cache_time(redis: Redis, redis_url: str) -> None:
    async with serving(redis_url, fresh_seconds=0.0) as edge:
        assert (await edge.post("/v1/ingest", json=event())).status_code == 202
        known = rights()
        known.keys.clear()
        hot_state.publish(redis, known)
        assert (await edge.post("/v1/ingest", json=event("k2"))).status_code == 401


async def test_the_tenant_header_must_agree_with_the_key(edge: httpx.AsyncClient) -> None:
    assert (await edge.post("/v1/ingest", json=event(), headers={"X-Tenant-Id": "t1"})).status_code == 202
    assert (await edge.post("/v1/ingest", json=event(), headers={"X-Tenant-Id": "t2"})).status_code == 403


async def test_a_customers_key_may_leave_the_customer_out_but_not_name_another(
    edge: httpx.AsyncClient,
) -> None:
    own, other = event("a", customerId=None), event("b", customerId="zenith")
    assert (await edge.post("/v1/ingest", json=own, headers=bearer(CUSTOMER_KEY))).status_code == 202
    assert (await edge.post("/v1/ingest", json=other, headers=bearer(CUSTOMER_KEY))).status_code == 403
    answer = await edge.post("/v1/ingest/batch", json={"events": [own, other]}, headers=bearer(CUSTOMER_KEY))
    assert answer.json()["errors"][0]["code"] == "CUSTOMER_MISMATCH"


async def test_every_answer_carries_a_request_id(edge: httpx.AsyncClient) -> None:
    given = await edge.post("/v1/ingest", json=event(), headers={"X-Request-Id": "req-1"})
    made = [await edge.get("/health"), await edge.get("/nowhere"), await edge.get("/v1/ingest")]
    assert given.headers["x-request-id"] == "req-1"
    assert [answer.status_code for answer in made] == [200, 404, 405]
    assert len({answer.headers["x-request-id"] for answer in made}) == 3
    assert made[1].json()["title"] == "Not Found"
