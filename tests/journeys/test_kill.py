"""Nothing is lost and nothing is doubled, whatever is killed: real processes, kill -9 at random moments under load."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx
import polars as pl
import pytest

from storage.lake import Lake
from tests.harness import forget_settings

ROOT = Path(__file__).parents[2]
SECONDS = 60.0
BATCH = 50
SEED = 20261121
MONTH = datetime.now(UTC).strftime("%Y-%m")

CATALOG = f"""
tenant: {{id: acme, name: Acme, currency: USD}}
units:
  - {{key: api_calls, name: API Calls, aggregation: COUNT}}
  - {{key: gigabytes, name: Gigabytes, aggregation: SUM}}
ratePlans:
  - key: basic
    name: Basic
    currency: USD
    metrics:
      - {{unit: api_calls, model: PER_UNIT, rate: 0.01}}
      - {{unit: gigabytes, model: PER_UNIT, rate: 0.10}}
offerings: [{{code: basic, name: Basic, ratePlan: basic, currency: USD}}]
customers: [{{id: ada, name: Ada}}]
subscriptions: [{{id: sub-ada, customer: ada, offering: basic, startDate: "{MONTH}-01"}}]
keys: [{{name: gateway}}]
"""

INGESTING = """
import sys
from stack import billing
while True:
    try:
        billing.ingest()
    except Exception as error:
        print("ingest:", error, file=sys.stderr)
"""


class Stack:
    """The whole stack in a folder of its own, and the command line over it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {**forget_settings(dict(os.environ)), "AFORO_HOME": str(home)}

    def aforo(self, *words: str) -> str:
        command = [sys.executable, "-m", "stack", *words]
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, f"aforo {' '.join(words)}: {done.stdout}\n{done.stderr}"
        return done.stdout

    def pid(self, process: str) -> int | None:
        status = json.loads(self.aforo("status", "--json"))
        return next((each["pid"] for each in status["services"] if each["name"] == process), None)

    def ingest_forever(self) -> subprocess.Popen[bytes]:
        log = (self.home / "ingest.log").open("ab")
        return subprocess.Popen(
            [sys.executable, "-c", INGESTING], cwd=ROOT, env=self.environment, stdout=log, stderr=log
        )


class Load(threading.Thread):
    """Batches of usage until told to stop; a batch that was not acknowledged is sent again with the same keys."""

    def __init__(self, url: str, secret: str, number: int) -> None:
        super().__init__(daemon=True)
        self.client = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {secret}"}, timeout=5)
        self.number = number
        self.stop = threading.Event()
        self.keys: set[str] = set()
        self.bad = self.retries = 0

    def run(self) -> None:
        batch = 0
        while not self.stop.is_set():
            events = [self.event(batch, n) for n in range(BATCH)]
            while not self.acknowledged(events):
                self.retries += 1
                time.sleep(0.1)
            self.keys |= {event["idempotencyKey"] for event in events if event["metricName"] != "nonsense"}
            self.bad += sum(event["metricName"] == "nonsense" for event in events)
            batch += 1
        self.client.close()

    def event(self, batch: int, n: int) -> dict[str, object]:
        """Every 25th is of an unknown unit; every tenth batch repeats the one before."""
        same = batch - 1 if batch % 10 == 9 else batch
        unit = "nonsense" if n == 24 else ("api_calls", "gigabytes")[n % 2]
        now = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=n).isoformat()
        key = f"{self.number}-{same}-{n}"
        return {
            "customerId": "ada",
            "metricName": unit,
            "quantity": n,
            "occurredAt": now,
            "idempotencyKey": key,
        }

    def acknowledged(self, events: list[dict[str, object]]) -> bool:
        try:
            answer = self.client.post("/v1/ingest/batch", json={"events": events})
        except httpx.HTTPError:
            return False
        if answer.status_code == 202:
            counts = answer.json()
            assert counts["accepted"] + counts["duplicates"] + counts["failed"] == len(events)
            return True
        assert answer.status_code >= 500, answer.text
        return False


@pytest.fixture
def stack(home: Path):
    running = Stack(home)
    running.aforo("up")
    try:
        yield running
    finally:
        running.aforo("down")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killing_anything_under_load_loses_and_doubles_nothing(stack: Stack):
    catalog = stack.home / "catalog.yaml"
    catalog.write_text(CATALOG)
    stack.aforo("apply", str(catalog))
    status = json.loads(stack.aforo("status", "--json"))
    secret = json.loads((stack.home / "secrets" / "keys.json").read_text())["acme"]["gateway"]
    loads = [Load(status["urls"]["edge"], secret, number) for number in range(2)]
    for load in loads:
        load.start()

    killed = kill_at_random(stack, random.Random(SEED))
    for load in loads:
        load.stop.set()
    for load in loads:
        load.join(60)
        assert not load.is_alive(), "a batch was never acknowledged: the edge did not come back"
    stack.aforo("bill", MONTH)

    keys = set().union(*(load.keys for load in loads))
    assert killed >= {"edge", "valkey", "postgres", "dagster run"}
    assert sum(load.retries for load in loads) > 0, "the kills were never felt: the test proved nothing"
    assert_accounted_for(Lake(str(stack.home / "lake")), keys)


def kill_at_random(stack: Stack, dice: random.Random) -> set[str]:
    """Each of the four is killed at least once, in random order at random moments; returns what was killed."""
    killed: set[str] = set()
    ingesting = stack.ingest_forever()
    victims = ["edge", "valkey", "postgres", "dagster run"] * 2
    dice.shuffle(victims)
    try:
        for victim in victims:
            time.sleep(dice.uniform(0.6, 1.4) * SECONDS / len(victims))
            if victim == "dagster run":
                ingesting.kill()
                ingesting.wait()
                ingesting = stack.ingest_forever()
            elif pid := stack.pid(victim):
                os.kill(pid, signal.SIGKILL)
            killed.add(victim)
        time.sleep(10)
    finally:
        ingesting.kill()
        ingesting.wait()
    return killed


def assert_accounted_for(lake: Lake, keys: set[str]) -> None:
    raw = lake.scan("raw_events").collect()
    validated = lake.scan("validated_events").collect()
    quarantined = lake.scan("quarantined_events").collect()
    billed = lake.scan("metered_events").filter(pl.col("disposition") == "BILLABLE").collect()

    assert set(validated["idempotency_key"]) == keys, "what was acknowledged is in the lake, and nothing else"
    assert validated.height == len(keys), "each once"
    assert raw.height == validated.height + quarantined.height
    accepted = raw.filter(door="ACCEPTED")
    late_refusals = quarantined.filter(door="ACCEPTED").height
    assert accepted.height == billed.height + late_refusals, "accepted = billed + duplicate + quarantined"
    assert set(billed["raw_seq"]) == set(validated["raw_seq"])
    assert set(quarantined["code"]) <= {"DUPLICATE", "UNKNOWN_METRIC"}
    lines = lake.scan("invoice_lines").collect()
    exact = (validated["unit"] == "api_calls").sum()
    assert lines.filter(unit="api_calls")["quantity"].to_list() == [exact]
