"""`aforo events`: what a person at the command line sees of an event, and does to it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import insert
from typer.testing import CliRunner

from stack.cli import app
from storage.database import session_scope
from storage.lake import Lake
from storage.tables.tenants import TenantRow
from tests.transforms.event_rows import gated, raw_event, raws


@pytest.fixture
def key(
    monkeypatch: pytest.MonkeyPatch, database_url: str, redis_url: str, lake_url: str, home: object
) -> str:
    """An accepted event of 8 calls, and a second one under its key that says something else."""
    for name, url in (("DATABASE", database_url), ("REDIS", redis_url), ("LAKE", lake_url)):
        monkeypatch.setenv(f"AFORO_{name}_URL", url)
    with session_scope(database_url) as session:
        about = {"id": "acme", "name": "Acme", "currency": "USD", "time_zone": "UTC"}
        session.execute(insert(TenantRow), about)
    kept, quarantined = gated(raws(raw_event("evt/1", 8), raw_event("evt/1", 9)))
    for name, rows in (("validated_events", kept), ("quarantined_events", quarantined)):
        Lake(lake_url).cursor(name).append(rows, markers={})
    return "evt/1"


def aforo(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["events", *arguments, "--tenant", "acme"])


def test_an_event_is_shown_with_both_payloads_voided_and_shown_again(key: str) -> None:
    shown = aforo("show", key)
    assert shown.exit_code == 0, shown.output
    assert [each in shown.output for each in ("COUNTED", "IDEMPOTENCY_CONFLICT", '"8"', '"9"')] == [True] * 4
    voided = aforo("void", key, "--reason", "test traffic", "--json")
    assert json.loads(voided.output)["kind"] == "VOID"
    assert "VOIDED" in aforo("show", key).output


def test_an_unknown_key_and_half_an_amendment_are_said_to_be_so(key: str) -> None:
    unknown = aforo("show", "nobody-sent-this")
    assert unknown.exit_code != 0
    assert "there is no event" in f"{unknown.output}{unknown.exception}"
    assert aforo("amend", key, "--reason", "x", "--properties", "{").exit_code == 2
    nothing = aforo("amend", key, "--reason", "x")
    assert "quantity: is missing" in f"{nothing.output}{nothing.exception}"
