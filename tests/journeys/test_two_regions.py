"""Two regions, each with edges and a log of its own, one lake: either can die, and a key sent to both is counted once."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator

import httpx
import polars as pl
import pytest
from sqlalchemy import text

from storage import hot_state
from tests.harness import short_folder, wait_until
from tests.journeys.chaos import Site, World, assert_accounted_for, under_load, world

SAME = pl.col("idempotency_key").str.starts_with("same-")
SEED = int(os.environ.get("AFORO_CHAOS_SEED", "20261121"))
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def regions() -> Iterator[World]:
    with short_folder() as folder, world(folder, ("east", "west")) as made:
        yield made


def status(site: Site, secret: str) -> int:
    answer = httpx.post(
        f"{site.url}/v1/canAccess",
        json={"featureKey": "api_calls", "customerId": "ada"},
        headers={"Authorization": f"Bearer {secret}"},
        timeout=5,
        trust_env=False,
    )
    return answer.status_code


def test_a_region_dies_under_load_and_comes_back(regions: World) -> None:
    """Clients go on with the other one, and send again there what they had no answer for."""
    east, west = regions.sites
    with under_load(regions, "both", random.Random(SEED), urls=[east.url, west.url]) as loads:
        time.sleep(2)
        with west.edge.frozen():
            time.sleep(0.5)  # until each client waits for an answer that will not come
            for node in (west.edge, west.valkey):
                node.kill()
        for load in loads:
            load.urls.remove(west.url)
        time.sleep(1)
        assert status(east, regions.spare) == 200
        with regions.engine.begin() as connection:
            connection.execute(text("UPDATE api_keys SET status = 'REVOKED' WHERE name = 'spare'"))
        wait_until(lambda: status(east, regions.spare) == 401, what="the revocation to reach the east")
        west.start_valkey()
        west.start_edge(spool=False)
        wait_until(lambda: status(west, regions.spare) == 401, what="the revocation to reach the west")
        for load in loads:
            load.urls.append(west.url)
        time.sleep(1)
    regions.settle()
    assert_accounted_for(regions, "both", loads)
    assert sum(load.told.retries for load in loads) > 0
    assert not regions.recount().is_empty(), "each has counted only what it saw itself"
    assert regions.recount().is_empty(), "each counts what the lake holds"
    counted = [hot_state.read_all_counters(site.redis, "acme") for site in regions.sites]
    assert counted[0] == counted[1] != {}


def test_one_key_sent_to_both_at_once_is_billed_once(regions: World) -> None:
    regions.recount()
    sent = [
        {"customerId": "ada", "metricName": "api_calls", "quantity": 1, "idempotencyKey": f"same-{n}"}
        for n in range(200)
    ]
    for site in regions.sites:
        answer = httpx.post(
            f"{site.url}/v1/ingest/batch",
            json={"events": sent},
            headers={"Authorization": f"Bearer {regions.secret}"},
            timeout=10,
            trust_env=False,
        )
        assert answer.json()["accepted"] == 200, "neither can know of the other"
    regions.settle()
    validated, quarantined = (
        regions.lake.scan(table).filter(SAME).collect()
        for table in ("validated_events", "quarantined_events")
    )
    assert (validated.height, validated["idempotency_key"].n_unique()) == (200, 200)
    assert (quarantined.height, set(quarantined["code"])) == (200, {"DUPLICATE"})
    before = [sum(hot_state.read_all_counters(site.redis, "acme").values()) for site in regions.sites]
    assert before[0] == before[1]
    regions.recount()
    after = [sum(hot_state.read_all_counters(site.redis, "acme").values()) for site in regions.sites]
    assert after == before, "both counted each key, once"
