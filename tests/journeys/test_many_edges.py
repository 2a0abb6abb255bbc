"""Two workers behind one port and a second host beside them, one Redis: what one of them has counted, all have."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any

import httpx
import pytest
from redis import Redis

from domain.access import KeyRecord, TenantRights
from stack import tether
from stack.embedded import Valkey, free_port
from stack.tether import Command
from storage import event_log, hot_state
from tests.api.edge.world import UNITS, acme, event
from tests.harness import short_folder, wait_until

pytestmark = pytest.mark.slow
LIMIT = 40
CALLERS = 12


def secret(name: str) -> str:
    return f"sk_live_{name}"


@pytest.fixture(scope="module")
def edges(redis_server: Valkey) -> Iterator[list[str]]:
    """The urls of both hosts."""
    started = []
    urls = []
    with short_folder() as folder, Redis.from_url(redis_server.url) as redis:
        redis.flushall()
        keys = {
            sha256(secret(name).encode()).hexdigest(): KeyRecord(name, "t1", None)
            for name in ("limits", "duplicates", "counters")
        }
        hot_state.publish(redis, TenantRights("t1", UNITS, (acme(),), keys))
        try:
            for workers in (2, 1):
                port = free_port()
                environment = {
                    "AFORO_REDIS_URL": redis_server.url, "AFORO_EDGE_PORT": str(port), "AFORO_HOME": str(folder),
                    "AFORO_EDGE_WORKERS": str(workers), "AFORO_LIMIT_METER": f"{LIMIT}/0/HARD",
                    "AFORO_EDGE_SPOOL": "on",
                }  # fmt: skip
                command = Command((sys.executable, "-m", "api.edge"), env=environment)
                started.append(tether.spawn(command, log=folder / f"{port}.log"))
                urls.append(f"http://127.0.0.1:{port}")
            for url in urls:
                wait_until(lambda url=url: is_ready(url), what="an edge to be ready")
            yield urls
        finally:
            for process in started:
                tether.ask_to_stop(process, tether.Command(()).stop_signal)
            for process in started:
                tether.finish(process)


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=2, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def answers(edges: list[str], key: str, path: str, bodies: list[Any]) -> list[httpx.Response]:
    """Of all requests, sent at once, each on a connection of its own, to the hosts in turn."""

    def send(numbered: tuple[int, Any]) -> httpx.Response:
        number, body = numbered
        url = edges[number % len(edges)]
        headers = {"Authorization": f"Bearer {secret(key)}"}
        return httpx.post(f"{url}{path}", json=body, headers=headers, timeout=20, trust_env=False)

    with ThreadPoolExecutor(CALLERS) as callers:
        return list(callers.map(send, enumerate(bodies)))


def test_a_limit_holds_for_all_of_them_together(edges: list[str]) -> None:
    sent = [event(f"l{n}") for n in range(2 * LIMIT)]
    found = Counter(answer.status_code for answer in answers(edges, "limits", "/v1/meter", sent))
    # A window that has just begun holds a part of the one before, so a few more may fit where the minute turns.
    assert set(found) == {202, 429}
    assert LIMIT <= found[202] <= LIMIT + 5


def test_a_key_is_accepted_by_one_of_them_only(edges: list[str]) -> None:
    batches = [{"events": [event(f"d{n}") for n in range(50)]} for _ in range(24)]
    told = [answer.json() for answer in answers(edges, "duplicates", "/v1/ingest/batch", batches)]
    assert sum(each["accepted"] for each in told) == 50
    assert sum(each["duplicates"] for each in told) == 50 * 23


def test_usage_is_counted_together_and_known_to_all(edges: list[str], redis_server: Valkey) -> None:
    question = {"featureKey": "words", "customerId": "acme"}
    with Redis.from_url(redis_server.url) as redis:
        before = event_log.pending(redis, "t1")
        batches = [
            {"events": [event(f"c{batch}-{n}", metricName="tokens", quantity="0.25") for n in range(20)]}
            for batch in range(30)
        ]
        assert {a.status_code for a in answers(edges, "counters", "/v1/ingest/batch", batches)} == {202}
        asked = [answer.json() for answer in answers(edges, "counters", "/v1/canAccess", [question] * 12)]
        assert {each["used"] for each in asked} == {150}
        assert event_log.pending(redis, "t1") - before == 30
