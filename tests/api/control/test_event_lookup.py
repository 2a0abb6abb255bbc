"""The edge tells where an event is by asking the management door, over a socket, with the installation's own token."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from redis import Redis

from domain.access import KeyRecord, TenantRights
from storage import hot_state
from storage.secret_files import reader_token
from tests.api.control.conftest import Api, problem
from tests.api.control.examples import World
from tests.api.edge import wire
from tests.api.edge.world import TENANT_KEY, sha
from tests.api.edge.world import serving as edge_over


@pytest.fixture
async def edge(api: Api, redis_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """An edge whose reader is the management door; its key is the tenant acme's."""
    keys = {sha(TENANT_KEY): KeyRecord("key_acme", "acme", None)}
    with Redis.from_url(redis_url) as redis:
        hot_state.publish(redis, TenantRights("acme", (), (), keys))
    with wire.served(api.app, lifespan="off") as port:
        address = f"http://127.0.0.1:{port}"
        async with edge_over(redis_url, reader_url=address, home=str(api.home)) as client:
            yield client


async def test_an_event_in_the_lake_is_told_with_what_became_of_it(api: Api, edge: httpx.AsyncClient) -> None:
    key = World(api, "acme")["/api/v1/events"]
    answer = (await edge.get(f"/v1/events/{key}")).json()
    assert (answer["state"], answer["lake"], answer["received"][0]["where"]) == ("COUNTED", "READ", "LAKE")
    told = api.get(f"/api/v1/events/{key}").json()["data"]
    assert answer["billed"] == told["billed"]
    assert [row["rawSeq"] for row in answer["received"]] == [row["rawSeq"] for row in told["received"]]


async def test_a_key_nobody_sent_is_not_found(edge: httpx.AsyncClient) -> None:
    answer = await edge.get("/v1/events/never%2Fsent")
    assert (answer.status_code, answer.json()["code"]) == (404, "EVENT_NOT_FOUND")


async def test_the_internal_door_opens_to_the_edge_alone(api: Api) -> None:
    World(api, "acme")["/api/v1/events"]
    path = "/internal/v1/events/never-sent"
    client, right = api.client, reader_token(api.home)
    for token in ("", "Bearer x", f"Bearer {api.root}", f"Basic {right}"):
        refused = client.get(path, headers={"Authorization": token, "X-Tenant-Id": "acme"})
        problem(refused, 401, "UNAUTHORIZED")
    asked = client.get(path, headers={"Authorization": f"Bearer {right}", "X-Tenant-Id": "acme"})
    problem(asked, 404, "EVENT_NOT_FOUND")
