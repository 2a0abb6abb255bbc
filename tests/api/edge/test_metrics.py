"""The edge's numbers: what is counted, how it is told, to whom, and by several processes behind one port."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families

import api.control.monitoring
from api.meters import BOUNDS, Latency, Meters
from api.monitoring import Worker
from tests import harness
from tests.api.edge.world import TENANT_KEY, event, serving

ROOT = Path(__file__).parents[3]
OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}


def samples(text: str) -> dict[tuple[str, ...], float]:
    """(name, label values in the order of their names) to value."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def scraped(edge: httpx.AsyncClient) -> dict[tuple[str, ...], float]:
    answer = await edge.get("/metrics")
    assert answer.status_code == 200, answer.text
    return samples(answer.text)


async def test_requests_events_and_round_trips_are_counted(edge: httpx.AsyncClient) -> None:
    for sent in (event("a"), event("a"), event("b", metricName="nothing")):
        await edge.post("/v1/ingest", json=sent)
    await edge.post("/v1/ingest/batch", json={"events": [event("c"), event("d", quantity=-1)]})
    await edge.post("/v1/canAccess", json={"featureKey": "calls", "customerId": "acme"})
    await edge.get("/v1/check/t1")
    await edge.get("/nothing/here")
    found = await scraped(edge)
    assert found["aforo_edge_requests_total", "POST", "/v1/ingest", "202", "0"] == 2
    assert found["aforo_edge_requests_total", "POST", "/v1/ingest", "422", "0"] == 1
    assert found["aforo_edge_requests_total", "GET", "/v1/check/{tenantId}", "200", "0"] == 1
    assert found["aforo_edge_requests_total", "other", "other", "404", "0"] == 1
    events = {name[1]: value for name, value in found.items() if name[0] == "aforo_edge_events_total"}
    assert events == {"ACCEPTED": 2, "DUPLICATE": 1, "UNKNOWN_METRIC": 1, "NEGATIVE_QUANTITY": 1}
    assert found["aforo_edge_request_seconds_count", "/v1/ingest", "0"] == 3
    assert found["aforo_edge_round_trip_seconds_count", "append", "0"] == 4
    assert found["aforo_edge_round_trip_seconds_count", "ask", "0"] == 1
    assert found[("aforo_log_entries",)] == 4
    assert found[("aforo_log_lag_seconds",)] >= 0
    assert {"aforo_redis_ping_seconds", "aforo_log_file_bytes", "aforo_redis_memory_bytes"} <= {
        name[0] for name in found
    }


async def test_openmetrics_is_told_to_who_asks_for_it_and_can_be_read(edge: httpx.AsyncClient) -> None:
    await edge.post("/v1/ingest", json=event("a"))
    answer = await edge.get("/metrics", headers=OPENMETRICS)
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert "aforo_edge_requests" in {family.name for family in openmetrics(answer.text)}


async def test_numbers_name_no_tenant_no_customer_and_no_key(edge: httpx.AsyncClient) -> None:
    await edge.post("/v1/ingest", json=event("a"))
    await edge.get("/v1/events/a")
    text = (await edge.get("/metrics")).text
    assert not any(name in text for name in ("t1", "acme", TENANT_KEY, "key_tenant"))


async def test_only_the_addresses_of_the_setting_may_read_them_and_no_proxy(redis_url: str) -> None:
    async with serving(redis_url) as edge:
        behind = await edge.get("/metrics", headers={"X-Forwarded-For": "203.0.113.9"})
        assert (behind.status_code, behind.json()["code"]) == (403, "FORBIDDEN")
    async with serving(redis_url, metrics_from=("192.0.2.0/24",)) as edge:
        assert (await edge.get("/metrics")).status_code == 403


async def test_without_redis_the_edge_tells_what_it_counted_itself() -> None:
    with harness.valkey() as server:
        url = server.url
    async with serving(url) as edge:
        found = await scraped(edge)
    assert found[("aforo_redis_up",)] == 0
    assert ("aforo_edge_memory_bytes", "0") in found


def test_a_histogram_puts_each_time_into_the_bucket_that_holds_it() -> None:
    latency = Latency()
    for seconds in (0.0, BOUNDS[0], BOUNDS[0] + 1e-9, 99.0):
        latency.observe(seconds)
    assert (latency.counts[0], latency.counts[1], latency.counts[-1]) == (2, 1, 1)
    assert sum(latency.counts) == 4


@contextmanager
def running(*workers: Worker) -> Iterator[None]:
    tasks = [asyncio.ensure_future(worker.run()) for worker in workers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()


async def test_processes_behind_one_port_tell_each_others_numbers(tmp_path: Path) -> None:
    several = [Worker(Meters(stale=10 + number), "edge-1", tmp_path) for number in range(3)]
    stranger = Worker(Meters(stale=99), "edge-2", tmp_path)
    with running(*several, stranger):
        await asyncio.sleep(0.05)
        for worker in several:
            told = worker.all()
            assert {name: numbers.stale for name, numbers in told.items()} == {"0": 10, "1": 11, "2": 12}
    await asyncio.sleep(0.05)
    again = Worker(Meters(), "edge-1", tmp_path)
    with running(again):
        await asyncio.sleep(0.05)
        assert list(again.all()) == ["0"], "the place of one that ended is free again"
    await asyncio.sleep(0.05)


async def test_the_dashboard_shows_only_numbers_that_are_told(edge: httpx.AsyncClient) -> None:
    await edge.post("/v1/ingest", json=event("a"))
    told = set(re.findall(r"^# TYPE (\w+)", (await edge.get("/metrics")).text, re.MULTILINE))
    of_control = {each.replace("aforo_edge_", "aforo_control_") for each in told}
    source = inspect.getsource(api.control.monitoring)
    told |= of_control | set(re.findall(r'"(aforo_\w+)"', source))
    board = json.loads((ROOT / "examples/monitoring/grafana-dashboard.json").read_text("utf-8"))
    shown = {
        name.removesuffix("_bucket")
        for panel in board["panels"]
        for target in panel["targets"]
        for name in re.findall(r"aforo_\w+", target["expr"])
    }
    assert len(shown) > 15
    assert shown - told == set()
