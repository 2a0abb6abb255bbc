"""Where an event is, as the door alone can tell: in the log, refused, or not there. The lake's part: tests/api/control."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from urllib.parse import quote

import httpx
from redis import Redis

from storage import event_log
from tests.api.edge.world import CUSTOMER_KEY, event, serving

ODD = "mqtt:t1:client/7:PUBLISH:/floors/2/äöü?x=1&y=%2F#1:" + "k" * 440


async def test_an_event_just_accepted_is_on_its_way(edge: httpx.AsyncClient) -> None:
    await edge.post("/v1/ingest", json=event("k1", quantity=2))
    began = time.monotonic()
    answer = await edge.get("/v1/events/k1")
    assert time.monotonic() - began < 1
    body = answer.json()
    assert (answer.status_code, body["state"], body["lake"]) == (200, "ON_ITS_WAY", "NOT_READ")
    (row,) = body["received"]
    assert (row["outcome"], row["where"], row["quantity"], row["keyId"]) == (
        "ACCEPTED",
        "LOG",
        "2",
        "key_tenant",
    )


async def test_keys_of_any_form_are_found(edge: httpx.AsyncClient) -> None:
    assert len(ODD) <= 512
    await edge.post("/v1/ingest", json=event(ODD))
    assert (await edge.get(f"/v1/events/{quote(ODD, safe='')}")).json()["key"] == ODD
    await edge.post("/v1/ingest", json=event("a/b/c"))
    assert (await edge.get("/v1/events/a/b/c")).json()["state"] == "ON_ITS_WAY"
    assert (await edge.get(f"/v1/events/{'k' * 513}")).status_code == 422


async def test_a_refused_event_says_why_and_what_came_later_is_shown_too(edge: httpx.AsyncClient) -> None:
    await edge.post("/v1/ingest", json=event("bad", metricName="nothing"))
    refused = (await edge.get("/v1/events/bad")).json()
    assert (refused["state"], refused["received"][0]["outcome"]) == ("QUARANTINED", "UNKNOWN_METRIC")
    assert "no billable unit" in refused["received"][0]["detail"]
    for sent in (event("good"), event("good"), event("good", quantity=7)):
        await edge.post("/v1/ingest", json=sent)
    good = (await edge.get("/v1/events/good")).json()
    assert [row["outcome"] for row in good["received"]] == ["ACCEPTED", "DUPLICATE", "IDEMPOTENCY_CONFLICT"]


async def test_a_key_that_stands_in_the_payload_of_another_event_is_not_found(
    edge: httpx.AsyncClient,
) -> None:
    await edge.post("/v1/ingest", json=event("outer", k="inner", metadata={"k": "inner"}))
    answer = await edge.get("/v1/events/inner")
    assert answer.status_code == 503, "the lake cannot be asked, and it may have the key"
    assert answer.json()["code"] == "LAKE_UNAVAILABLE"


async def test_what_is_drained_is_known_to_be_on_its_way_by_the_memory_of_keys(
    edge: httpx.AsyncClient, redis: Redis
) -> None:
    await edge.post("/v1/ingest", json=event("gone"))
    (entry,) = event_log.read(redis, "t1")
    event_log.trim(redis, "t1", entry.id)
    body = (await edge.get("/v1/events/gone")).json()
    assert (body["state"], body["received"]) == ("ON_ITS_WAY", [])


async def test_a_customers_key_finds_its_own_events_only(edge: httpx.AsyncClient) -> None:
    await edge.post("/v1/ingest", json=event("mine"))
    await edge.post("/v1/ingest", json=event("other", customerId="idle"))
    own = {"Authorization": f"Bearer {CUSTOMER_KEY}"}
    mine = await edge.get("/v1/events/mine", headers=own)
    assert (mine.status_code, "acts" in mine.json()) == (200, False)
    assert (await edge.get("/v1/events/other", headers=own)).json()["code"] == "EVENT_NOT_FOUND"
    await edge.post("/v1/ingest", json=event("not mine", customerId="idle"), headers=own)
    refused = (await edge.get("/v1/events/not mine", headers=own)).json()
    assert refused["received"][0]["outcome"] == "CUSTOMER_MISMATCH", "what came with the key itself is told"
    assert (await edge.get("/v1/events/mine", headers={"Authorization": ""})).status_code == 401


async def test_a_reader_that_hangs_delays_nobody_who_asks_for_what_the_log_has(
    redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        address = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        async with serving(redis_url, reader_url=address, home=str(tmp_path)) as edge:
            await edge.post("/v1/ingest", json=event("k1"))
            began = time.monotonic()
            assert (await edge.get("/v1/events/k1")).json()["lake"] == "NOT_READ"
            assert time.monotonic() - began < 1.5


async def test_a_reader_that_is_gone_delays_nobody(redis: Redis, redis_url: str, tmp_path: Path) -> None:
    async with serving(redis_url, reader_url="http://127.0.0.1:9", home=str(tmp_path)) as edge:
        await edge.post("/v1/ingest", json=event("k1"))
        began = time.monotonic()
        assert (await edge.get("/v1/events/k1")).json()["lake"] == "NOT_READ"
        assert time.monotonic() - began < 1
