"""Claims about playing: the clock moves for everybody, the same file comes to the same, and expectations are held against it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest

from domain.access import UnitRecord
from domain.catalog.fields import Fields
from domain.usage import Door, read_event
from sandbox.expected import compare
from sandbox.generated import generate, read_generated
from sandbox.ground import ground
from sandbox.play import play, run
from sandbox.scenario import read
from tests.sandbox.worlds import CATALOG, many, scenario


def outcome_of(server: str, **said: Any) -> dict[str, Any]:
    return run(read(scenario(**said)), server).data


def made(**said: Any) -> pl.DataFrame:
    return generate(read_generated(Fields(many(**said)["generate"], ""), "gen"), "acme")


def test_generated_events_are_hashed_as_the_door_hashes_them() -> None:
    row = made(count=3, quantity={"from": 1, "to": 9}, **{"with": {"tool": "search", "n": 2}}).row(
        1, named=True
    )
    import msgspec

    sent = msgspec.json.decode(row["payload"])
    unit = UnitRecord(
        key="calls", name="Calls", aggregation="SUM", event_field=None, allow_negative=False, filters=()
    )
    received = int(row["received_at"].timestamp() * 1_000_000)
    event = read_event(sent, Door("acme", {"calls": unit}), received_at=received)
    assert (event.key_hash, event.payload_hash) == (row["key_hash"], row["payload_hash"])
    assert (event.quantity, event.refusals) == (row["quantity"], [])


def test_the_seed_makes_the_events_and_disorder_changes_only_the_receipt() -> None:
    usual: dict[str, Any] = {"count": 500, "spread": "RANDOM", "seed": 3}
    usual["quantity"] = {"from": "0.5", "to": "20"}
    one, same, other = made(**usual), made(**usual), made(**{**usual, "seed": 4})
    shuffled = made(**usual, disorder="5h").sort("idempotency_key")
    assert one.equals(same)
    assert not one.equals(other)
    apart = ["received_at"]
    assert shuffled.drop(apart).equals(one.sort("idempotency_key").drop(apart))


def test_the_same_usage_in_any_order_and_batches_has_the_same_hashes(server: str) -> None:
    bill = [{"bill": "2026-03"}]
    plain = outcome_of(server, events=[many(count=300)], steps=bill)
    mixed = outcome_of(server, events=[many(count=300, disorder="9h", duplicates=50)], steps=bill, batch=70)
    hashes = [
        [(each["inputHash"], each["contentHash"]) for each in told["invoices"]] for told in (plain, mixed)
    ]
    assert mixed["events"]["deduplicated"] == 50
    assert hashes[0] == hashes[1]


def test_what_the_database_stamps_is_the_clock_of_the_scenario(server: str) -> None:
    usage = {"customer": "ada", "metric": "calls", "quantity": 1, "occurredAt": "2026-03-20T00:00:00Z"}
    steps: list[dict[str, Any]] = [
        {"bill": "2026-03"},
        {"finalize": "2026-03"},
        {"at": "2026-04-05T00:00:00Z", "send": [usage]},
        {"replay": "2026-03"},
        {"approve": "2026-03"},
    ]
    with ground(server) as scratch:
        told = play(read(scenario(steps=steps)), scratch, stages=False).data
        with scratch.database.connect() as connection:
            now, *stamped = connection.exec_driver_sql(
                "SELECT now(), (SELECT max(created_at) FROM adjustments), (SELECT max(created_at) FROM replays)"
            ).one()
            (billed,) = connection.exec_driver_sql("SELECT created_at FROM invoices").one()
    assert told["adjustments"][0]["amount"] == "0.1"
    assert {each.date().isoformat() for each in (now, *stamped)} == {"2026-04-05"}
    assert billed.date().isoformat() == "2026-04-01"


def test_drafts_are_issued_by_themselves_after_their_grace_period(server: str) -> None:
    told = outcome_of(server, steps=[{"bill": "2026-03"}, {"at": "2026-04-10", "wait": None}])
    assert [each["status"] for each in told["invoices"]] == ["OPEN"]


def databases(server: str) -> set[str]:
    with psycopg.connect(server) as connection:
        names = {name for (name,) in connection.execute("SELECT datname FROM pg_database")}
    return {name for name in names if name.startswith("aforo_sandbox_") and "_of_" not in name}


def folders() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("aforo-sandbox-*"))


def test_nothing_is_left_behind_whether_the_scenario_ends_well_or_not(server: str) -> None:
    before = databases(server)
    with ground(server) as scratch:
        (own,) = databases(server) - before
        folder = Path(scratch.lake.url).parent
        assert folder.is_dir()
    assert own not in databases(server) and not folder.exists()
    with pytest.raises(ZeroDivisionError), ground(server) as scratch:
        folder = Path(scratch.lake.url).parent
        raise ZeroDivisionError
    assert databases(server) == before and not folder.exists()


def test_what_a_killed_scenario_left_is_removed_by_the_next_one_and_what_is_in_use_is_not(
    server: str,
) -> None:
    left, old = "aforo_sandbox_0123456789abcdef", "aforo_sandbox_of_0000000000000000"
    folder = Path(tempfile.gettempdir()) / "aforo-sandbox-0123456789abcdef"
    folder.mkdir(exist_ok=True)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {left}")
        connection.execute(f"CREATE DATABASE {old}")
    with ground(server) as first, ground(server):
        names = databases(server)
        assert left not in names and not folder.exists()
        assert first.database.url.database in names
        with psycopg.connect(server) as connection:
            kept = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [old]).fetchone()
        assert kept is None


def test_what_cannot_happen_by_itself_ends_the_scenario_with_its_reason(server: str) -> None:
    unpriced = {"customer": "ada", "metric": "gpu", "quantity": 1, "occurredAt": "2026-03-05T00:00:00Z"}
    (subscription,) = CATALOG["subscriptions"]
    catalog = CATALOG | {
        "units": [*CATALOG["units"], {"key": "gpu", "aggregation": "SUM"}],
        "subscriptions": [{**subscription, "billingThreshold": 5}],
    }
    steps = [{"at": "2026-03-10T00:00:00Z", "wait": None}, {"bill": "2026-03"}]
    outcome = run(read({**scenario(events=[unpriced], steps=steps), "catalog": catalog}), server)
    (unmet,) = outcome.unmet
    assert (unmet.path, unmet.expected) == ("steps[0].wait", "done")
    assert unmet.came.startswith("STUCK: interim invoices: acme/sub-ada: NO_PRICE: unit gpu")
    assert outcome.data["invoices"] == []


def test_an_unmet_expectation_names_the_path_and_both_sides(server: str) -> None:
    wrong = {"invoices": [{"customer": "ada", "total": 11}], "events": {"late": 0}}
    outcome = run(read(scenario(steps=[{"bill": "2026-03"}], expect=wrong)), server)
    assert [str(each) for each in outcome.unmet] == ["expect.invoices[0].total: expected 11, came 10"]
    assert outcome.as_json()["met"] is False


def test_a_refusal_nobody_expected_ends_the_scenario(server: str) -> None:
    steps = [{"at": "2026-03-05", "resume": "sub-eve"}, {"bill": "2026-03"}]
    outcome = run(read(scenario(steps=steps)), server)
    assert outcome.unmet[0].path == "steps[0].resume"
    assert outcome.unmet[0].came.startswith("SUBSCRIPTION_NOT_FOUND")
    assert outcome.data["invoices"] == []


def test_a_list_says_all_there_is_and_an_object_what_it_names() -> None:
    came = {"held": [], "invoices": [{"total": "10.5", "month": "2026-03"}, {"total": "2"}]}
    assert list(compare({"held": [], "invoices": [{"total": "10.5"}, {}]}, came, "e")) == []
    (short,) = compare({"invoices": [{"total": 2}]}, came, "e")
    assert (short.path, short.expected) == ("e.invoices", "1 items")
    (misspelt,) = compare({"invoice": 1}, came, "e")
    assert "there are held, invoices" in misspelt.came
