"""The edge and the drain over a cluster of three nodes: each tenant lives in one, and one that dies takes no other tenant with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
from redis import Redis
from redis.crc import key_slot
from redis.exceptions import ClusterDownError, NoPermissionError

from domain.access import KeyRecord, TenantRights
from storage import event_log, hot_state
from storage.connections import connect
from storage.drain import drain
from storage.event_log import LogNotDurable
from storage.lake import Lake
from storage.recount import recount
from tests.api.edge.world import UNITS, acme, event, serving
from tests.harness import short_folder
from tests.journeys.cluster import SLOTS, Cluster, cluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def tenant_of(node: int) -> str:
    """A tenant whose keys live there."""
    return next(
        name
        for name in (f"tenant{n}" for n in range(1000))
        if key_slot(f"{{{name}}}".encode()) * 3 // SLOTS == node
    )


TENANTS = [tenant_of(node) for node in range(3)]


@lru_cache
def rights(tenant: str) -> TenantRights:
    """A key that lives in the tenant's own node, where keys by their hash may be anywhere: the loss of a node is then felt by one."""
    return TenantRights(tenant, UNITS, (acme(),), {sha(tenant): KeyRecord(f"key_{tenant}", tenant, None)})


def secret(tenant: str) -> str:
    node = TENANTS.index(tenant)
    return next(
        text
        for text in (f"sk_live_{tenant}_{n}" for n in range(1000))
        if key_slot(hot_state.key_key(sha256(text.encode()).hexdigest()).encode()) * 3 // SLOTS == node
    )


def sha(tenant: str) -> str:
    return sha256(secret(tenant).encode()).hexdigest()


@pytest.fixture(scope="module")
def nodes() -> Iterator[Cluster]:
    with short_folder() as folder, cluster(folder) as made:
        yield made


@pytest.fixture
def redis(nodes: Cluster) -> Iterator[Redis]:
    with connect(nodes.url) as client:
        client.flushall(target_nodes="primaries")
        for tenant in TENANTS:
            hot_state.publish(client, rights(tenant))
        yield client


@asynccontextmanager
async def edge_over(nodes: Cluster, home: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(nodes.url, spool=True, home=str(home), fresh_seconds=0.1) as client:
        app = client._transport.app  # type: ignore[attr-defined]
        async with app.router.lifespan_context(app):
            yield client


async def metered(edge: httpx.AsyncClient, tenant: str, *keys: str) -> dict[str, object]:
    headers = {"Authorization": f"Bearer {secret(tenant)}"}
    events = [event(key, metricName="tokens", quantity="0.5") for key in keys]
    answer = await edge.post("/v1/ingest/batch", json={"events": events}, headers=headers)
    assert answer.status_code == 202, answer.text
    told: dict[str, object] = answer.json()
    return told


async def test_every_tenant_is_metered_asked_about_drained_and_counted(
    nodes: Cluster, redis: Redis, tmp_path: Path, lake_url: str
) -> None:
    lake = Lake(lake_url)
    async with edge_over(nodes, tmp_path) as edge:
        for tenant in TENANTS:
            assert (await metered(edge, tenant, "a", "b"))["accepted"] == 2
            assert (await metered(edge, tenant, "b", "c"))["duplicates"] == 1
            asked = await edge.post(
                "/v1/canAccess",
                json={"featureKey": "words", "customerId": "acme"},
                headers={"Authorization": f"Bearer {secret(tenant)}"},
            )
            assert asked.json()["used"] == 1.5
    assert event_log.tenants(redis) == sorted(TENANTS)
    assert recount([redis], lake, [rights(tenant) for tenant in TENANTS]).is_empty()
    assert drain(redis, lake).verdicts == {"ACCEPTED": 9, "DUPLICATE": 3}
    assert recount([redis], lake, [rights(tenant) for tenant in TENANTS]).is_empty()


async def test_a_node_that_dies_takes_its_own_tenants_only_and_their_events_are_kept(
    nodes: Cluster, redis: Redis, tmp_path: Path
) -> None:
    async with edge_over(nodes, tmp_path) as edge:
        for tenant in TENANTS:
            await metered(edge, tenant, "a")
        nodes.nodes[1].kill()
        assert (await metered(edge, TENANTS[1], "b"))["spooled"] is True
        for tenant in (TENANTS[0], TENANTS[2]):
            assert (await metered(edge, tenant, "b"))["accepted"] == 1
        nodes.start(1)
        async with asyncio.timeout(30):
            while (await edge.get("/readyz")).json()["status"] != "UP":
                await asyncio.sleep(0.1)
        assert event_log_length(nodes, TENANTS[1]) == 2, "what waited on the edge's disk is in the log"
        assert "spooled" not in await metered(edge, TENANTS[1], "c")


async def test_without_a_spool_only_the_tenants_of_a_dead_node_are_told_to_come_back(
    nodes: Cluster, redis: Redis, tmp_path: Path
) -> None:
    async with serving(nodes.url, fresh_seconds=0.1) as edge:
        for tenant in TENANTS:
            await metered(edge, tenant, "a")
        nodes.nodes[0].kill()
        try:
            headers = {"Authorization": f"Bearer {secret(TENANTS[0])}"}
            refused = await edge.post("/v1/meter", json=event("b"), headers=headers)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            for tenant in TENANTS[1:]:
                assert await metered(edge, tenant, "b") == {
                    "accepted": 1,
                    "duplicates": 0,
                    "failed": 0,
                    "errors": [],
                }
            assert (await edge.get("/readyz")).status_code == 200
        finally:
            nodes.start(0)


def event_log_length(nodes: Cluster, tenant: str) -> int:
    with Redis.from_url(nodes.servers[TENANTS.index(tenant)].url) as node, suppress(ClusterDownError):
        return event_log.pending(node, tenant)
    return 0


def test_a_cluster_that_hides_how_it_is_set_up_is_not_trusted(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hidden(*_: object) -> None:
        raise NoPermissionError

    monkeypatch.setattr(event_log, "settings_of", hidden)
    with pytest.raises(LogNotDurable):
        event_log.assert_durable(redis)


def test_one_node_that_does_not_sync_is_enough_to_be_refused(nodes: Cluster, redis: Redis) -> None:
    with Redis.from_url(nodes.servers[2].url) as node:
        node.config_set("appendfsync", "everysec")
        try:
            with pytest.raises(LogNotDurable):
                event_log.assert_durable(redis)
        finally:
            node.config_set("appendfsync", "always")
    assert event_log.assert_durable(redis) is False
