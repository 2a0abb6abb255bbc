"""What each client sends, byte by byte, and what it needs to read back."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from redis import Redis

from storage import event_log
from tests.api.edge.wire import Line, listening, raw
from tests.api.edge.world import CUSTOMER_KEY, event

NOW_MS = time.time_ns() // 1_000_000
NOW = datetime.fromtimestamp(NOW_MS / 1000, UTC)
SECONDS = NOW.strftime("%Y-%m-%dT%H:%M:%S")
TENANT = {"X-Tenant-Id": "t1"}
SDK = {"customerId": "acme", "metricName": "api_calls", "quantity": 1}


def batch(*events: dict[str, Any]) -> dict[str, Any]:
    return {"events": list(events)}


def spoken(**fields: Any) -> dict[str, Any]:
    return (
        SDK | {"occurredAt": f"{SECONDS}.123Z", "idempotencyKey": "9f86d081884c7d659a2feaa0c55ad015"} | fields
    )


GATEWAY = {
    "metricName": "API Calls", "productType": "API", "endpointPath": "/v1/widgets/:id", "httpMethod": "GET", "statusCode": 200,
    "responseTimeMs": 12.5, "trace": {"traceparent": None, "tracestate": None, "xTraceId": None, "xRequestId": "r-1"},
    "metadata": {"endpoint_path": "/v1/widgets/:id", "http_method": "GET", "status_code": 200, "response_time_ms": 12.5},
}  # fmt: skip
DIALECTS: dict[str, tuple[str, dict[str, str], dict[str, Any]]] = {
    "node sdk": ("/v1/ingest/batch", {}, batch(spoken())),
    "python sdk": ("/v1/ingest/batch", {}, batch(spoken(quantity=1.0, occurredAt=f"{SECONDS}.123456+00:00"))),
    "java sdk": ("/v1/ingest/batch", {}, batch(spoken(quantity=1.0, occurredAt=f"{SECONDS}.123456789Z"))),
    "go sdk": ("//v1/ingest/batch", {}, batch(spoken(occurredAt=f"{SECONDS}.123456789Z", metadata={"a": 1}))),
    "mcp sdk": ("/v1/ingest/batch", TENANT, batch(spoken(
        idempotencyKey=f"mcp:sdk:acme:no-session:search:{NOW_MS}", productType="MCP_SERVER", toolName="search", agentId="a-1",
        sessionId="s-1", executionStatus="SUCCESS", executionDurationMs=18,
    ))),
    "mcp proxy": ("/v1/ingest/batch", TENANT, batch(spoken(
        productType="MCP_SERVER", toolName="search", sessionId="proxy:stdio:1", metadata={"proxy": True, "responseBytes": 311},
    ))),
    "graphql sdk": ("/v1/ingest/events", TENANT, batch(spoken(
        idempotencyKey=f"gql:t1:p:anonymous:{NOW_MS}:abcd1234", productType="GRAPHQL_API", gqlOperationType="QUERY",
        gqlComplexity=17, gqlHasErrors=False, dataBytes=2048,
    ))),
    "grpc sdk": ("/v1/ingest/events", TENANT, batch(spoken(grpcStatusCode="OK", grpcCallType="UNARY", messageCount=1))),
    "websocket sdk": ("/v1/ingest/events", TENANT, batch(spoken(wsFrameType="TEXT", wsCloseReason=None, dataBytes=9))),
    "mqtt sdk": ("/v1/ingest/events", TENANT, batch(spoken(
        idempotencyKey=("mqtt:t1:c:PUBLISH:" + "plant/" * 100)[:512], mqttTopic="plant/" * 80, mqttQos=1, mqttRetained=False,
    ))),
    "emqx": ("/v1/ingest/events", TENANT, batch(spoken(mqttEventType="DELIVER"))),
    "kong": ("/v1/ingest/batch", TENANT, batch(spoken(**GATEWAY, occurredAt=NOW_MS + 0.25, idempotencyKey="kong-req-1"))),
    "aws": ("/v1/ingest/batch", TENANT, batch(spoken(**GATEWAY))),
    "apigee": ("/v1/ingest/batch", TENANT, batch(spoken(**GATEWAY, idempotencyKey=f"apigee-{NOW_MS}"))),
    "azure": ("/v1/ingest/batch", TENANT, batch(spoken(
        **GATEWAY, occurredAt=f"{SECONDS}.1234567Z", idempotencyKey=f"7d2e:{NOW_MS}0000",
    ))),
    "mulesoft": ("/v1/ingest/batch", TENANT, batch(spoken(**GATEWAY, tenantId="t1"))),
    "boilerplate": ("/v1/ingest", {}, {"metricName": "api_calls", "customerId": "acme", "value": 1}),
    "older sdk": ("/v1/meter", TENANT, {
        "event_type": "usage", "metric_id": "api_calls", "quantity": 1, "customerId": "acme", "properties": {"endpoint": "/x"},
    }),
    "bulk": ("/v1/ingest/events/batch", {}, batch(spoken())),
}  # fmt: skip


@pytest.fixture
def port(redis: Redis, redis_url: str) -> Iterator[int]:
    with listening(redis_url) as listens:
        yield listens


def records(redis: Redis) -> list[dict[str, Any]]:
    return [json.loads(line) for e in event_log.read(redis, "t1") for line in e.body.split(b"\n")]


def test_each_client_is_understood_as_it_is(port: int, redis: Redis) -> None:
    with Line(port) as line:
        for name, (path, headers, body) in DIALECTS.items():
            redis.flushall()
            restore(redis)
            answer = line.send(raw("POST", path, body, **headers))
            assert (name, answer.status) == (name, 202), answer.body
            if path != "/v1/meter" and "events" in body:
                assert (answer.json["accepted"], answer.json["failed"]) == (1, 0), (name, answer.body)
            [record] = records(redis)
            assert (record["c"], record["u"], record["q"], record["x"]) == ("acme", "api_calls", "1", None)


def restore(redis: Redis) -> None:
    from storage import hot_state
    from tests.api.edge.world import rights

    hot_state.publish(redis, rights())


@pytest.mark.parametrize(
    "moment",
    [
        NOW_MS, NOW_MS + 0.75, str(NOW_MS), f"{SECONDS}Z", f"{SECONDS}.1Z", f"{SECONDS}.1234567Z", f"{SECONDS}.123456789Z",
        f"{SECONDS}.123456+00:00", f"{SECONDS}+0000", f"{SECONDS.replace('T', ' ')}Z",
    ],
    ids=[
        "milliseconds", "fraction", "number-as-text", "seconds", "1-digit", "7-digits", "9-digits",
        "offset", "offset-without-colon", "space",
    ],
)  # fmt: skip
def test_each_writing_of_a_time_is_that_time(port: int, redis: Redis, moment: object) -> None:
    with Line(port) as line:
        assert line.send(raw("POST", "/v1/ingest", spoken(occurredAt=moment))).status == 202
    [record] = records(redis)
    assert abs(record["t"] / 1000 - NOW_MS) < 1000


def test_the_agents_shape_keeps_no_key_and_counts_each_step_once(port: int, redis: Redis) -> None:
    step = {
        "tenantId": "t1", "productId": "p", "apiKey": "sk_live_inside", "eventType": "agent_step", "metricKey": "tokens",
        "value": 1, "agentId": "a", "sessionId": "sess_1", "properties": {"stepIndex": 1}, "timestamp": f"{SECONDS}.5Z",
    }  # fmt: skip
    other = step | {"properties": {"stepIndex": 2}}
    request = raw("POST", "/v1/ingest", batch(step, other), key=CUSTOMER_KEY, X_Tenant_Id="t1")
    with Line(port) as line:
        first, again = line.send(request), line.send(request)
    assert (first.status, first.json["accepted"], again.json["duplicates"]) == (202, 2, 2)
    assert all("sk_live_inside" not in record["j"] for record in records(redis))


def test_compound_events_become_one_event_for_each_measurement(port: int, redis: Redis) -> None:
    compound = {
        "correlationId": "c-1", "customerId": "acme", "occurredAt": NOW_MS, "metadata": {"gateway": "kong"},
        "measurements": [
            {"metricName": "tokens", "quantity": 12.5, "dimensionKey": "gpt"}, {"metricName": "tokens", "quantity": 0},
            {"metricName": "api_calls", "quantity": 1}, {"metricName": "api_calls", "quantity": "many"},
        ],
    }  # fmt: skip
    with Line(port) as line:
        one = line.send(raw("POST", "/api/v1/ingest/compound", compound))
        bad = compound | {"correlationId": "c-2", "measurements": [{"metricName": "nope", "quantity": 1}]}
        many = line.send(raw("POST", "/api/v1/ingest/compound/batch", batch(compound, bad)))
        none = line.send(raw("POST", "/api/v1/ingest/compound/batch", {"events": []}))
        refused = line.send(raw("POST", "/api/v1/ingest/compound", {"customerId": "acme"}))
    assert (one.status, one.json["accepted"]) == (202, 2)
    assert (many.json["duplicates"], many.json["failed"], many.json["errors"][0]["index"]) == (2, 1, 1)
    assert (none.status, none.json["accepted"], refused.status) == (202, 0, 422)
    assert [(r["u"], r["q"]) for r in records(redis)][:2] == [("tokens", "12.5"), ("api_calls", "1")]
    assert json.loads(records(redis)[0]["j"])["dimensionKey"] == "gpt"


def test_cloud_events_are_usage_single_and_batched(port: int, redis: Redis) -> None:
    cloud = {
        "specversion": "1.0", "id": "1", "source": "/gateway", "type": "tokens", "subject": "acme", "time": f"{SECONDS}Z",
        "data": {"quantity": 2.5, "model": "large"}, "comexampleextension": "kept",
    }  # fmt: skip
    bare = {
        "specversion": "1.0",
        "id": "2",
        "source": "/gateway",
        "type": "x",
        "data": event("own", metricName="tokens"),
    }
    wrong = {"specversion": "0.3", "id": "3", "source": "/gateway", "type": "tokens", "data": {}}
    single, several = "application/cloudevents+json; charset=utf-8", "application/cloudevents-batch+json"
    with Line(port) as line:
        first = line.send(raw("POST", "/v1/ingest", cloud, Content_Type=single))
        batched = line.send(raw("POST", "/v1/ingest/batch", [cloud, bare, wrong], Content_Type=several))
        empty = line.send(raw("POST", "/v1/events", [], Content_Type=several))
        no_list = line.send(raw("POST", "/v1/events", cloud, Content_Type=several))
        counted = {**cloud, "id": "9", "data": None}
        one = line.send(raw("POST", "/v1/events", counted, Content_Type=single))
    assert (first.status, first.json["accepted"]) == (202, 1)
    assert [batched.json[n] for n in ("accepted", "duplicates", "failed")] == [1, 1, 1]
    assert (empty.status, no_list.status, one.status) == (202, 400, 202)
    record = records(redis)[0]
    assert (record["c"], record["u"], record["q"], record["k"]) == ("acme", "tokens", "2.5", "ce:/gateway:1")
    assert json.loads(record["j"])["cloudEvent"]["comexampleextension"] == "kept"


def test_heartbeats_learn_that_their_session_was_killed(port: int, redis: Redis) -> None:
    beat = {
        "customerId": "system", "metricName": "system.session.heartbeat", "quantity": 0, "occurredAt": f"{SECONDS}Z",
    }  # fmt: skip
    mcp = beat | {"sessionId": "s-1", "sessionBoundary": "HEARTBEAT", "idempotencyKey": "hb:s-1:1"}
    base = beat | {
        "metadata": {"sessionId": "s-2", "sessionBoundary": "HEARTBEAT"},
        "idempotencyKey": "hb:s-2:1",
    }
    with Line(port) as line:
        alive = line.send(raw("POST", "/v1/ingest/batch", batch(mcp, base)))
        assert "killedSessionIds" not in alive.json and sessions(line) == {"s-1", "s-2"}
        assert line.send(raw("POST", "/v1/sessions/s-2/kill", b"")).status == 204
        assert line.send(raw("POST", "/v1/sessions/s-1/kill", b"", key=CUSTOMER_KEY)).status == 403
        told = line.send(raw("POST", "/v1/ingest/batch", batch(mcp, base)))
        ended = mcp | {"sessionBoundary": "SESSION_END", "idempotencyKey": "hb:end:s-1:2"}
        line.send(raw("POST", "/v1/ingest/batch", batch(ended)))
        assert told.json["killedSessionIds"] == ["s-2"] and sessions(line) == {"s-2"}


def sessions(line: Line) -> set[str]:
    return {each["sessionId"] for each in line.send(raw("GET", "/v1/sessions")).json["sessions"]}


STATUSES: list[tuple[str, int, bytes]] = [
    ("a good event", 202, raw("POST", "/v1/ingest", spoken())),
    ("two hours late", 202, raw("POST", "/v1/ingest", spoken(occurredAt=NOW_MS - 7_200_000))),
    ("a day ahead", 422, raw("POST", "/v1/ingest", spoken(occurredAt=NOW_MS + 86_400_000))),
    ("91 days old", 422, raw("POST", "/v1/ingest", spoken(occurredAt=NOW_MS - 91 * 86_400_000))),
    ("cut off", 400, raw("POST", "/v1/ingest", b'{"customerId":"acme","metr')),
    ("no text", 400, raw("POST", "/v1/ingest", b"\xff\xfe")),
    ("bottomless", 400, raw("POST", "/v1/ingest", b'{"a":' * 100_000)),
    ("made up", 401, raw("POST", "/v1/ingest", spoken(), key="sk_live_fab_0123456789abcdef")),
    ("an operator's key", 401, raw("POST", "/v1/ingest", spoken(), key="afo_x")),
    ("no key", 401, raw("POST", "/v1/ingest", spoken(), key=None)),
    ("another scheme", 401, raw("POST", "/v1/ingest", spoken(), key=None, Authorization="Basic eDp5")),
    ("another tenant", 403, raw("POST", "/v1/ingest", spoken(), X_Tenant_Id="t2")),
    ("another customer", 403, raw("POST", "/v1/ingest", spoken(customerId="zenith"), key=CUSTOMER_KEY)),
    ("unknown unit", 422, raw("POST", "/v1/ingest", spoken(metricName="GET /v1/widgets/:id"))),
    ("not a number", 422, raw("POST", "/v1/ingest", b'{"customerId":"acme","metricName":"api_calls","quantity":true}')),
    ("a number too large", 422, raw("POST", "/v1/ingest", b'{"customerId":"acme","metricName":"api_calls","quantity":1e999999999}')),
    ("a key of 513 characters", 422, raw("POST", "/v1/ingest", spoken(idempotencyKey="k" * 513))),
    ("a NUL in a name", 422, raw("POST", "/v1/ingest", spoken(customerId="ac\0me"))),
    ("lz4", 415, raw("POST", "/v1/ingest", b"x", Content_Encoding="lz4")),
    ("no gzip", 400, raw("POST", "/v1/ingest", b"x", Content_Encoding="gzip")),
    ("another method", 405, raw("PUT", "/v1/ingest", spoken())),
    ("another path", 404, raw("POST", "/v1/ingest/nothing", spoken())),
    ("an empty batch", 202, raw("POST", "/v1/ingest/batch", {"events": []})),
    ("a batch of nothing", 422, raw("POST", "/v1/ingest/batch", {})),
]  # fmt: skip


@pytest.mark.parametrize(("case", "status", "sent"), STATUSES, ids=[name for name, _, _ in STATUSES])
def test_the_status_says_what_happened(port: int, case: str, status: int, sent: bytes) -> None:
    with Line(port) as line:
        answer = line.send(sent)
        assert answer.status == status, answer.body
        assert "x-request-id" in answer.headers
        if status >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
            assert {"type", "title", "status", "detail", "instance"} <= answer.json.keys()
        assert line.send(raw("GET", "/healthz")).status == 200  # the connection goes on
