"""`aforo ingest` against a real Valkey and PostgreSQL."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import text
from typer.testing import CliRunner

from domain.access import TenantRights, UnitRecord
from stack.cli import app
from storage import event_log, hot_state
from storage.database import session_scope

UNITS = tuple(UnitRecord(key, key.title(), "SUM") for key in ("tokens_in", "tokens_out", "requests"))
ROWS = [
    "TIMESTAMP,ContextTokens,GeneratedTokens,user",
    "2023-11-16 18:17:03.9799600,4808,10,ann",
    "2023-11-16 18:17:03.9799601,4808,10,ann",
    "2023-11-16 18:17:03.9799601,4808,10,ann",
]
MEASURES = ("--metric", "tokens_in=ContextTokens", "--metric", "requests=1", "--time-column", "TIMESTAMP")


@pytest.fixture
def redis(redis_url: str, database_url: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> Redis:
    monkeypatch.setenv("AFORO_REDIS_URL", redis_url)
    monkeypatch.setenv("AFORO_DATABASE_URL", database_url)
    with session_scope(database_url) as session:
        session.execute(
            text("INSERT INTO tenants (id, name, currency, time_zone) VALUES ('llm', 'L', 'USD', 'UTC')")
        )
    client = Redis.from_url(redis_url)
    hot_state.publish(client, TenantRights("llm", UNITS))
    return client


@pytest.fixture
def usage(tmp_path: Path) -> Path:
    file = tmp_path / "usage.csv"
    file.write_text("\n".join(ROWS) + "\n")
    return file


def run(*arguments: object) -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(app, ["ingest", *map(str, arguments), "--json"])
    return result.exit_code, json.loads(result.stdout) if result.stdout.startswith("{") else {
        "text": result.output
    }


def records(redis: Redis) -> list[dict[str, Any]]:
    return [json.loads(line) for entry in event_log.read(redis, "llm") for line in entry.body.split(b"\n")]


def test_each_row_gives_one_event_per_measure(redis: Redis, usage: Path) -> None:
    code, done = run(usage, "--customer", "code", *MEASURES, "--backfill", "history")
    assert (code, done["rows"], done["received"], done["accepted"], done["refused"]) == (0, 3, 6, 6, 0)
    found = records(redis)
    assert [(r["u"], r["q"], r["c"]) for r in found[:2]] == [
        ("tokens_in", "4808", "code"),
        ("requests", "1", "code"),
    ]
    assert {record["t"] for record in found} == {1700158623979960}
    assert {record["f"] for record in found} == {"history"}
    [entry] = event_log.read(redis, "llm")
    assert (entry.source, entry.key_id) == ("file:usage.csv", "operator")


def test_the_same_file_twice_is_all_duplicates(redis: Redis, usage: Path) -> None:
    arguments = (usage, "--customer", "code", *MEASURES, "--backfill", "history")
    run(*arguments)
    code, again = run(*arguments)
    assert (code, again["accepted"], again["duplicates"], again["refused"]) == (0, 0, 6, 0)


def test_without_a_reason_history_is_refused_and_kept(redis: Redis, usage: Path) -> None:
    code, done = run(usage, "--customer", "code", *MEASURES)
    assert (code, done["accepted"], done["codes"]) == (3, 0, {"TOO_OLD": 6})
    assert done["samples"][0]["row"] == 1 and "90 days" in done["samples"][0]["detail"]
    assert len(records(redis)) == 6


def test_a_backfill_is_audited_before_its_events(redis: Redis, usage: Path, database_url: str) -> None:
    run(usage, "--customer", "code", *MEASURES, "--backfill", "history of 2023")
    with session_scope(database_url) as session:
        rows = session.execute(text("SELECT tenant_id, action, target_id, reason FROM audit_log")).all()
    assert [tuple(row) for row in rows] == [("llm", "USAGE_BACKFILLED", "usage.csv", "history of 2023")]


def test_customer_and_key_may_come_from_columns(redis: Redis, tmp_path: Path) -> None:
    file = tmp_path / "keyed.csv"
    file.write_text("who,id,n\nann,1,5\nbob,2,\n,3,7\nann,1,6\n")
    code, done = run(
        file,
        "--customer-column",
        "who",
        "--key-column",
        "id",
        "--metric",
        "tokens_in=n",
        "--time",
        time.time_ns() // 10**6,
    )
    assert (code, done["accepted"]) == (3, 1)
    assert done["codes"] == {"SCHEMA_INVALID": 1, "MISSING_CUSTOMER": 1, "IDEMPOTENCY_CONFLICT": 1}
    assert records(redis)[0]["k"] == "1:tokens_in"


def test_rows_that_are_events_need_no_mapping(redis: Redis, tmp_path: Path) -> None:
    file = tmp_path / "events.ndjson"
    good = {"customerId": "ann", "metricName": "requests", "quantity": 0.1, "idempotencyKey": "k1"}
    lines = [json.dumps(good), "", "{broken", "[1]", json.dumps({"metricName": "requests", "quantity": 2})]
    file.write_text("\n".join([*lines, lines[-1]]))
    code, done = run(file, "--tenant", "llm", "--customer", "ann")
    assert (code, done["received"], done["accepted"], done["codes"]) == (3, 5, 3, {"SCHEMA_INVALID": 2})
    assert [sample["row"] for sample in done["samples"]] == [3, 4]
    found = records(redis)
    assert (found[0]["q"], found[0]["j"]) == ("0.1", lines[0])
    assert run(file, "--customer", "ann")[1]["duplicates"] == 3


def test_a_row_with_another_number_of_cells_is_refused_alone(redis: Redis, tmp_path: Path) -> None:
    file = tmp_path / "odd.csv"
    file.write_text("customerId,metricName,quantity\nann,requests,1\nann,requests\nann,requests,3\n")
    code, done = run(file)
    assert (code, done["accepted"], done["codes"]) == (3, 2, {"SCHEMA_INVALID": 1})
    assert "row 2 has 2 cells" in done["samples"][0]["detail"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--metric", "tokens_in=Nope"), "'Nope' is neither a column nor a number"),
        (("--metric", "tokens_in"), "unit=column"),
        (("--metric", "requests=1", "--time-column", "when"), "'when' is no column"),
        (("--metric", "requests=1", "--customer", "a", "--customer-column", "user"), "give one of them"),
        ((), "--metric unit=column"),
        (("--metric", "requests=1", "--tenant", "nobody"), "known: llm"),
        (("--format", "xml"), "csv or ndjson"),
    ],
)
def test_wrong_use_is_explained_and_sends_nothing(
    redis: Redis, usage: Path, arguments: tuple[str, ...], named: str
) -> None:
    result = CliRunner().invoke(app, ["ingest", str(usage), *arguments])
    assert result.exit_code == 2
    assert named in " ".join(result.output.split())
    assert event_log.pending(redis, "llm") == 0


def test_people_get_a_table(redis: Redis, usage: Path) -> None:
    result = CliRunner().invoke(app, ["ingest", str(usage), "--customer", "code", *MEASURES])
    assert result.exit_code == 3
    assert "received" in result.stdout and "TOO_OLD" in result.stdout
