"""Claims about the demo. Put here: its made-up month, and the whole of it with real processes (slow)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from domain.period import month_bounds
from domain.usage import AGE_LIMIT
from stack.commands.demo import CATALOG, last_month_over
from stack.demo.usage import BLUEBIRD, month_of_usage
from stack.embedded import free_port
from storage.catalog_file import load_document
from tests import harness

ROOT = Path(__file__).parents[2]
DAYS = [datetime(2027, 1, 1, tzinfo=UTC) + timedelta(days=n, minutes=1) for n in range(800)]


def test_the_same_month_is_made_up_of_the_same_events() -> None:
    assert month_of_usage("2026-02") == month_of_usage("2026-02")


def test_two_months_share_no_idempotency_key() -> None:
    february, march = (
        {sent.event["idempotencyKey"] for sent in month_of_usage(month)} for month in ("2026-02", "2026-03")
    )
    assert not february & march


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12"])
def test_the_demo_month_is_over_everywhere_and_young_enough_for_the_door(zone: str) -> None:
    for now in DAYS:
        bounds = month_bounds(last_month_over(now), zone)
        assert bounds.end <= now
        assert now - bounds.start < timedelta(microseconds=AGE_LIMIT)


def test_every_customer_of_the_catalog_uses_something() -> None:
    customers = {each["id"] for each in load_document(CATALOG)["customers"]}  # type: ignore[call-overload, index]
    named = Counter(sent.event.get("customerId") for sent in month_of_usage("2026-10"))
    assert customers - named.keys() == {BLUEBIRD}, "whose own key names it"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_demo_accounts_for_every_event_and_a_second_one_changes_no_invoice() -> None:
    with harness.short_folder() as home:
        try:
            first, second = _demo(home), _demo(home)
        finally:
            _aforo(home, "down")
    received, accepted = (first["accounting"][name]["edge"] for name in ("received", "accepted"))
    assert len(first["invoices"]) == 6
    assert [each["customer_id"] for each in first["held"]] == ["quartz"]
    assert second["invoices"] == first["invoices"]
    assert (second["accounting"]["received"]["edge"], second["accounting"]["accepted"]["edge"]) == (
        received,
        0,
    )
    assert accepted > 20_000


def _demo(home: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_aforo(home, "demo", "--json"))
    return found


def _aforo(home: Path, *arguments: str) -> str:
    ports = {f"AFORO_{name}_PORT": str(free_port()) for name in ("EDGE", "CONTROL", "DAGSTER")}
    environment = {**harness.forget_settings(dict(os.environ)), **ports, "AFORO_HOME": str(home)}
    command = [sys.executable, "-m", "stack", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
