"""The live stream: what comes in is told as it comes, across edges, to each its own, within bounds, and at no cost without listeners."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from storage import live_feed
from tests.api.edge.wire import Line, listening, raw
from tests.api.edge.world import CUSTOMER_KEY, TENANT_KEY, event, serving


class Listener:
    """One who reads server-sent events from a socket."""

    def __init__(self, port: int, *, key: str = TENANT_KEY, query: str = "", **headers: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=8)
        self.socket.sendall(raw("GET", f"/v1/stream{query}", key=key, **headers))
        self.file = self.socket.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        while self.file.readline().strip():
            pass
        self.last = ""
        self._lines = self._decoded()

    def _decoded(self) -> Iterator[str]:
        """Lines of the body, which comes in chunks."""
        text = b""
        while size := int(self.file.readline() or b"0", 16):
            text += self.file.read(size)
            self.file.readline()
            *whole, text = text.split(b"\n")
            yield from (line.decode() for line in whole)

    def next(self) -> tuple[str, dict[str, Any]]:
        """The next event: its name and data."""
        name = ""
        for line in self._lines:
            if line.startswith("id: "):
                self.last = line[4:]
            elif line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                return name, json.loads(line[6:])
        return "end", {}

    def close(self) -> None:
        self.file.close()
        self.socket.close()


@contextmanager
def following(port: int, **options: Any) -> Iterator[Listener]:
    listener = Listener(port, **options)
    try:
        assert listener.status == 200
        assert listener.next()[0] == "ready"
        yield listener
    finally:
        listener.close()


def send(port: int, *events: dict[str, object]) -> None:
    with Line(port) as line:
        assert line.send(raw("POST", "/v1/ingest/batch", {"events": list(events)})).status == 202


def test_events_are_told_as_they_come_through_any_edge_and_to_each_its_own(
    redis: Redis, redis_url: str
) -> None:
    with (
        listening(redis_url) as here,
        listening(redis_url) as there,
        following(here) as everything,
        following(there, key=CUSTOMER_KEY) as mine,
        following(here, query="?customerId=idle") as idles,
    ):
        began = time.monotonic()
        send(
            there,
            event("a", quantity=2),
            event("b", customerId="idle"),
            event("c", metricName="no"),
            event("a"),
        )
        told = [everything.next() for _ in range(4)]
        assert time.monotonic() - began < 2
        assert [(name, data["idempotencyKey"]) for name, data in told] == [
            ("accepted", "a"), ("accepted", "b"), ("refused", "c"), ("refused", "a"),
        ]  # fmt: skip
        assert [data["code"] for _, data in told] == [None, None, "UNKNOWN_METRIC", "IDEMPOTENCY_CONFLICT"]
        assert (told[0][1]["quantity"], told[0][1]["customerId"], told[0][1]["source"]) == (
            "2",
            "acme",
            "ingest",
        )
        assert [mine.next()[1]["idempotencyKey"] for _ in range(3)] == ["a", "c", "a"]
        assert idles.next()[1]["idempotencyKey"] == "b"


def test_a_stream_goes_on_after_the_last_event_id(redis: Redis, redis_url: str) -> None:
    with listening(redis_url) as port:
        with following(port) as listener:
            send(port, event("a"), event("b"))
            listener.next()
            last = listener.last
        send(port, event("c"))
        with following(port, Last_Event_ID=last) as again:
            assert [again.next()[1]["idempotencyKey"] for _ in range(2)] == ["b", "c"]
        with following(port, Last_Event_ID="nonsense"):
            pass


def test_whoever_reads_too_slowly_is_dropped_with_a_word(redis: Redis, redis_url: str) -> None:
    with listening(redis_url) as port, following(port) as listener:
        send(port, event("a"))
        listener.next()
        behind = redis.pipeline()
        for _ in range(live_feed.KEPT + 1):
            behind.xadd(live_feed.live_key("t1"), {"e": b'{"skipped":1}'}, maxlen=live_feed.KEPT)
        behind.xtrim(live_feed.live_key("t1"), maxlen=10, approximate=False)
        behind.execute()
        assert listener.next() == ("dropped", {"reason": "SLOW_READER", "lastEventId": listener.last})
        assert listener.next()[0] == "end"


def test_what_is_no_longer_known_after_the_last_event_id_is_said(redis: Redis, redis_url: str) -> None:
    with listening(redis_url) as port:
        with following(port) as listener:
            send(port, event("a"), event("b"))
            listener.next(), listener.next()
            last = listener.last
        redis.xtrim(live_feed.live_key("t1"), maxlen=0, approximate=False)
        redis.xadd(live_feed.live_key("t1"), {"e": b'{"skipped":7}'})
        with following(port, Last_Event_ID=last) as again:
            assert again.next()[0] == "gap"
            assert again.next() == ("skipped", {"events": 7})


async def test_without_listeners_nothing_is_written(edge: httpx.AsyncClient, redis: Redis) -> None:
    await edge.post("/v1/ingest", json=event("a"))
    await asyncio.sleep(0.3)
    assert redis.exists(live_feed.LISTENING, live_feed.live_key("t1")) == 0


async def test_more_events_than_can_be_told_are_counted_and_memory_stays_bounded(
    redis: Redis, redis_url: str
) -> None:
    async with serving(redis_url) as edge:
        live = edge._transport.app.state.live  # type: ignore[attr-defined]
        live.wanted = frozenset({"t1"})
        for part in range(3):
            many = [event(f"{part}-{each}") for each in range(900)]
            await edge.post("/v1/ingest/batch", json={"events": many})
        assert len(live._pending["t1"]) == 1_000
        running = asyncio.ensure_future(live.run())
        await asyncio.sleep(0.5)
        running.cancel()
    async with AsyncRedis.from_url(redis_url) as client:
        _, found = await live_feed.after(client, "t1", live_feed.START, 5_000)
    assert len(found) == 1_001
    assert json.loads(found[-1][1]) == {"skipped": 1_700}


async def test_no_tenant_can_hold_all_the_streams(edge: httpx.AsyncClient) -> None:
    live = edge._transport.app.state.live  # type: ignore[attr-defined]
    entered = [live.enter("t1") for _ in range(20)]
    refused = await edge.get("/v1/stream")
    assert (refused.status_code, refused.json()["code"]) == (429, "TOO_MANY_STREAMS")
    live.leave("t1", entered[0])
    live.enter("t1")


@pytest.mark.parametrize("key", ["", "sk_live_other"])
async def test_a_stream_asks_for_a_key(edge: httpx.AsyncClient, key: str) -> None:
    assert (await edge.get("/v1/stream", headers={"Authorization": f"Bearer {key}"})).status_code == 401


def test_whoever_goes_is_forgotten_at_once(redis: Redis, redis_url: str) -> None:
    with listening(redis_url) as port:
        with following(port):
            pass
        began = time.monotonic()
    assert time.monotonic() - began < 3, "nothing is left that would hold up the end"
