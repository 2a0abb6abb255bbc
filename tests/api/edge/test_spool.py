"""The edge with a spool: acknowledged means kept, also while Redis is gone, and nothing is counted twice."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from redis import Redis

from api.edge.settings import EdgeSettings
from stack.embedded import Valkey, free_port
from storage import event_log, hot_state
from storage.drain import drain
from storage.lake import Lake
from tests import harness
from tests.api.edge.world import event, rights, serving


@asynccontextmanager
async def spooling(redis_url: str, home: Path, **settings: object) -> AsyncIterator[httpx.AsyncClient]:
    """An edge with a spool, which has seen its key and tenant, and is closed as a server closes it."""
    settings = {"home": str(home), "spool": True, "fresh_seconds": 0.1} | settings
    async with serving(redis_url, **settings) as client:
        app = client._transport.app  # type: ignore[attr-defined]
        async with app.router.lifespan_context(app):
            yield client


async def until(holds: object, *, seconds: float = 15.0) -> None:
    for _ in range(int(seconds / 0.05)):
        if holds():  # type: ignore[operator]
            return
        await asyncio.sleep(0.05)
    raise AssertionError("waited in vain")


def batch(*events: dict[str, object]) -> dict[str, object]:
    return {"events": list(events)}


def keys_in(redis: Redis) -> list[tuple[str, str]]:
    """Each event in the log, in order: its key and the log's verdict."""
    return [
        (json.loads(line)["k"], verdict)
        for entry in event_log.read(redis, "t1")
        for line, verdict in zip(entry.body.split(b"\n"), entry.verdicts, strict=True)
    ]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Valkey]:
    with harness.short_folder() as folder:
        yield Valkey(folder / "valkey", port=free_port(), password="secret")


async def test_what_is_sent_while_redis_is_gone_is_in_the_log_afterwards_in_order_and_once(
    server: Valkey, tmp_path: Path
) -> None:
    log = tmp_path / "valkey.log"
    with harness.running(server, log), Redis.from_url(server.url) as redis:
        hot_state.publish(redis, rights())
        async with spooling(server.url, tmp_path) as edge:
            assert (await edge.post("/v1/meter", json=event("before"))).json()["accepted"] == 1
            redis.shutdown(nosave=True)
            sent = [event("b"), event("a"), event("a"), event("bad", metricName="nonsense")]
            answer = await edge.post("/v1/ingest/batch", json=batch(*sent))
            assert answer.status_code == 202
            body = answer.json()
            assert (body["accepted"], body["duplicates"], body["failed"]) == (2, 1, 1)
            assert body["spooled"] is True
            again = await asyncio.gather(
                *(edge.post("/v1/meter", json=event(key)) for key in ("c", "before", "a"))
            )
            assert {each.status_code for each in again} == {202}
            ready = (await edge.get("/readyz")).json()
            assert (ready["status"], ready["components"]["spool"]["waiting"]) == ("DEGRADED", 4)
            assert (await edge.post("/v1/meter", json=event("x"), headers=STRANGER)).status_code == 503
            with harness.running(server, log):
                await until(lambda: event_log.pending(redis, "t1") == 5)
                after = await edge.post("/v1/meter", json=event("after"))
                assert "spooled" not in after.json()
                told = keys_in(redis)
                counted = hot_state.read_counters(redis, "t1", "acme")
            assert told[:5] == [("before", "A"), ("b", "A"), ("a", "A"), ("a", "D"), ("bad", "X")]
            assert sorted(told[5:8]) == [("a", "D"), ("before", "D"), ("c", "A")]
            assert told[8] == ("after", "A")
            assert list(counted.values()) == [5_000_000], "counters have caught up"
    assert not (tmp_path / "spool").exists() or list((tmp_path / "spool").iterdir()) == []


STRANGER = {"Authorization": "Bearer sk_live_somebody"}


async def test_a_restarted_edge_finds_its_spool_and_sends_each_request_once(
    server: Valkey, tmp_path: Path, lake_url: str
) -> None:
    log = tmp_path / "valkey.log"
    with harness.running(server, log), Redis.from_url(server.url) as redis:
        hot_state.publish(redis, rights())
        async with spooling(server.url, tmp_path) as edge:
            await edge.post("/v1/meter", json=event("a"))
            redis.shutdown(nosave=True)
            for n in range(20):
                sent = batch(event(f"k{n}"), event(None, metricName="nonsense"))
                assert (await edge.post("/v1/ingest/batch", json=sent)).status_code == 202
        with harness.running(server, log):
            kept = copy_of(tmp_path / "spool", tmp_path / "again" / "spool")
            for home in (tmp_path, kept.parent):  # the second one died before it could forget
                async with spooling(server.url, home):
                    await until(lambda left=home / "spool": not list(left.iterdir()))
            assert drain(redis, Lake(lake_url)).verdicts == {"ACCEPTED": 21, "REJECTED": 20}
            assert redis.hgetall(b"usage:{t1}:acme") and event_log.pending(redis, "t1") == 0


def copy_of(folder: Path, to: Path) -> Path:
    to.parent.mkdir()
    subprocess.run(["cp", "-a", folder, to], check=True)
    return to


async def test_a_full_spool_says_503_and_promises_nothing(server: Valkey, tmp_path: Path) -> None:
    log = tmp_path / "valkey.log"
    with harness.running(server, log), Redis.from_url(server.url) as redis:
        hot_state.publish(redis, rights())
        async with spooling(server.url, tmp_path, spool_bytes=5_000) as edge:
            await edge.post("/v1/meter", json=event("a"))
            redis.shutdown(nosave=True)
            answers = [await edge.post("/v1/meter", json=event(f"k{n}")) for n in range(30)]
            taken = [each for each in answers if each.status_code == 202]
            full = [each for each in answers if each.status_code != 202]
            assert 5 < len(taken) < 30
            assert {(each.status_code, each.json()["code"]) for each in full} == {(503, "SPOOL_FULL")}
            assert full[0].headers["retry-after"] == "1"
            with harness.running(server, log):
                await until(lambda: event_log.pending(redis, "t1") == len(taken) + 1)
                assert (await edge.post("/v1/meter", json=event("z"))).status_code == 202


async def test_a_log_without_memory_is_not_asked_to_take_more(
    redis: Redis, redis_url: str, tmp_path: Path, lake_url: str
) -> None:
    async with spooling(redis_url, tmp_path) as edge, serving(redis_url) as plain:
        for each in (edge, plain):
            assert (await each.post("/v1/meter", json=event("a"))).status_code == 202
        redis.config_set("maxmemory", "1mb")
        try:
            refused = await plain.post("/v1/meter", json=event("b"))
            assert (refused.status_code, refused.json()["code"]) == (503, "LOG_FULL")
            assert refused.headers["retry-after"] == "1"
            assert (await edge.post("/v1/meter", json=event("b"))).json()["spooled"] is True
            await asyncio.sleep(0.6)
            assert event_log.pending(redis, "t1") == 2
            assert drain(redis, Lake(lake_url)).events == 2, "draining makes room, so it needs none"
        finally:
            redis.config_set("maxmemory", "0")
        await until(lambda: event_log.pending(redis, "t1") == 1)


def test_the_spool_is_off_unless_it_is_asked_for() -> None:
    assert EdgeSettings.from_env({}).spool is False
    asked = EdgeSettings.from_env({"AFORO_EDGE_SPOOL": "on", "AFORO_EDGE_SPOOL_BYTES": "5000"})
    assert (asked.spool, asked.spool_bytes) == (True, 5000)
    with pytest.raises(ValueError, match="AFORO_EDGE_SPOOL: 'yes' is neither on nor off"):
        EdgeSettings.from_env({"AFORO_EDGE_SPOOL": "yes"})


async def test_a_redis_that_hangs_costs_one_wait_and_then_none(server: Valkey, tmp_path: Path) -> None:
    with (
        harness.running(server, tmp_path / "valkey.log") as process,
        Redis.from_url(server.url) as redis,
    ):
        hot_state.publish(redis, rights())
        async with spooling(server.url, tmp_path) as edge:
            await edge.post("/v1/meter", json=event("a"))
            process.send_signal(signal.SIGSTOP)
            try:
                first, second = [await edge.post("/v1/meter", json=event(key)) for key in ("b", "c")]
                assert first.json()["spooled"] and second.json()["spooled"]
                assert second.elapsed.total_seconds() < 1
            finally:
                process.send_signal(signal.SIGCONT)
            await until(lambda: {key for key, verdict in keys_in(redis) if verdict == "A"} == {"a", "b", "c"})
            assert (await edge.post("/v1/meter", json=event("d"))).status_code == 202
            accepted = [key for key, verdict in keys_in(redis) if verdict == "A"]
            assert sorted(accepted) == ["a", "b", "c", "d"]
