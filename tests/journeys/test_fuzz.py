"""The edge as a process, sent what no client should send: no server error, no hang, no death, no growth.

AFORO_FUZZ_SECONDS says how long, AFORO_CHAOS_SEED plays a game again.
"""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Iterator

import httpx
import psutil
import pytest
from redis import Redis

from storage import hot_state
from tests.api.edge.wire import Line, raw
from tests.api.edge.world import TENANT_KEY, event, rights
from tests.harness import short_folder
from tests.journeys import fuzz
from tests.journeys.chaos import Site

SEED = int(os.environ.get("AFORO_CHAOS_SEED", "20261121"))
SECONDS = float(os.environ.get("AFORO_FUZZ_SECONDS", "10"))
GROWTH = 120 * 1024 * 1024
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300 + SECONDS)]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with short_folder() as folder:
        made = Site(folder)
        try:
            made.start_valkey()
            with Redis.from_url(made.server.url) as redis:
                hot_state.publish(redis, rights())
            made.start_edge(spool=False)
            yield made
        finally:
            made.edge.kill()
            made.valkey.kill()


def memory(site: Site) -> int:
    assert site.edge.process is not None
    return int(psutil.Process(site.edge.process.pid).memory_info().rss)


def assert_well(site: Site) -> None:
    assert site.edge.is_alive
    answer = fuzz.exchange(site.port, raw("POST", "/v1/meter", event("well")), patience=5)
    assert fuzz.statuses(answer) == [202]


def test_spoiled_bytes_are_refused_and_nothing_else_happens(site: Site) -> None:
    dice = random.Random(SEED)
    print(f"AFORO_CHAOS_SEED={SEED}")  # noqa: T201
    requests = fuzz.sound()
    for request in requests:
        status = fuzz.statuses(fuzz.exchange(site.port, request, patience=5))
        assert status and 200 <= status[0] < 500, (request, status)
    before, began, sent, away = memory(site), time.monotonic(), 0, 0
    while time.monotonic() < began + SECONDS:
        spoil = dice.choice(fuzz.SPOILS)
        request = spoil(dice.choice(requests), dice)
        answer = fuzz.exchange(site.port, request)
        if (
            b"REDIS_UNAVAILABLE" in answer
        ):  # it was held up by whatever else this machine does: the truth, and over in a moment
            time.sleep(2)
            answer = fuzz.exchange(site.port, request)
            away += 1
        found = fuzz.statuses(answer)
        assert all(status < 500 for status in found), (spoil.__name__, request[:3000], answer[:500])
        sent += 1
        if sent % 100 == 0:
            assert_well(site)
    print(f"{sent} requests")  # noqa: T201
    assert sent > 100
    assert away <= 1 + sent / 1000, f"Redis was away for {away} of {sent} requests"
    assert_well(site)
    assert memory(site) - before < GROWTH, f"{sent} requests"


def test_a_header_without_end_is_cut_off(site: Site) -> None:
    before = memory(site)
    for begin in (b"GET / HTTP/1.1\r\nX: ", fuzz.chunked("/v1/ingest/batch", b"{}", 9)[:-2] + b"T: "):
        with socket.create_connection(("127.0.0.1", site.port), timeout=10) as line:
            line.sendall(begin)
            with pytest.raises(OSError):
                for _ in range(3_000):
                    line.sendall(b"a" * 65_536)
    assert memory(site) - before < GROWTH / 4
    assert_well(site)


def test_slow_clients_hold_nobody_up_and_are_hung_up_on(site: Site) -> None:
    """Some send nothing, some half a head, some blank lines, some a byte of their body now and then."""
    begun = [b"", b"POST /v1/meter HTTP/1.1\r\nHost: e\r\n", b"\r\n", raw("POST", "/v1/meter", event())[:-20]]
    lines = [socket.create_connection(("127.0.0.1", site.port), timeout=45) for _ in range(400)]
    try:
        for number, line in enumerate(lines):
            line.sendall(begun[number % 4])
        for _ in range(3):
            time.sleep(0.5)
            for number, line in enumerate(lines):
                if number % 4:
                    line.sendall([b"", b"X", b"\r\n", b" "][number % 4])
            began = time.monotonic()
            with Line(site.port) as quick:
                assert quick.send(raw("POST", "/v1/meter", event("quick"))).status == 202
            assert time.monotonic() - began < 2
        time.sleep(9.5)
        for number, line in enumerate(lines):
            if number % 4 == 3:
                continue  # a body has 30 seconds
            line.settimeout(5)
            answer = b""
            while part := line.recv(4096):
                answer += part
            assert not answer or b" 408 " in answer.split(b"\r\n")[0]
    finally:
        for line in lines:
            line.close()
    assert_well(site)


def test_any_number_of_customers_and_keys_takes_no_more_memory(site: Site) -> None:
    with httpx.Client(
        base_url=site.url, headers={"Authorization": f"Bearer {TENANT_KEY}"}, timeout=30, trust_env=False
    ) as client:

        def send(batch: int) -> None:
            events = [event(f"m{batch}-{n}", customerId=f"c{batch}-{n}", quantity=n) for n in range(5_000)]
            assert client.post("/v1/ingest/batch", json={"events": events}).json()["accepted"] == 5_000
            checks = [{"customerId": f"q{batch}-{n}", "featureKey": "calls"} for n in range(500)]
            assert client.post("/v1/canAccess", json={"checks": checks}).status_code == 200
            for n in range(20):
                wrong = {"Authorization": f"Bearer sk_live_{batch}-{n}"}
                assert client.post("/v1/meter", json={}, headers=wrong).status_code == 401

        for batch in range(12):  # as many as its memory of customers holds
            send(batch)
        before = memory(site)
        for batch in range(12, 26):
            send(batch)
        assert memory(site) - before < GROWTH / 2
