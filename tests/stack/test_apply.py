"""`aforo apply`, `aforo invoices` and `aforo show` as a person or a script uses them."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from redis import Redis
from typer.testing import CliRunner, Result

from stack.cli import app
from storage.catalog_file import UnreadableCatalog, load_document
from storage.database import session_scope
from storage.hot_state import keys_key, published_tenants
from storage.lake import Lake
from storage.repositories.invoices import settle
from storage.scope import Scope
from storage.secret_files import key_secrets, operator_token
from tests.storage.test_invoices import line, settlement
from transforms.frames import METERED_EVENTS

EXAMPLES = Path(__file__).parents[2] / "examples"
CATALOG = EXAMPLES / "llm-inference.yaml"


@pytest.fixture(autouse=True)
def _stack(
    monkeypatch: pytest.MonkeyPatch, database_url: str, redis_url: str, lake_url: str, home: Path
) -> None:
    monkeypatch.setenv("AFORO_DATABASE_URL", database_url)
    monkeypatch.setenv("AFORO_REDIS_URL", redis_url)
    monkeypatch.setenv("AFORO_LAKE_URL", lake_url)


def aforo(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def as_json(*arguments: object) -> Any:
    result = aforo(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


def edited(tmp_path: Path, *changes: tuple[str, str]) -> Path:
    text = CATALOG.read_text(encoding="utf-8")
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    file = tmp_path / "catalog.yaml"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.yaml")), ids=lambda file: file.name)
def test_every_example_applies_and_applies_again_without_a_change(file: Path) -> None:
    assert as_json("apply", file)["counts"]["create"] > 10
    again = as_json("apply", file)
    assert (again["counts"]["create"], again["counts"]["change"], again["keys"]) == (0, 0, [])


def test_new_secrets_are_shown_once_and_kept_where_only_the_owner_reads(home: Path) -> None:
    shown = {key["name"]: key["secret"] for key in as_json("apply", CATALOG)["keys"]}
    assert key_secrets(home, "acme-ai") == shown
    mode = (home / "secrets" / "keys.json").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600
    assert shown["code"] not in aforo("apply", CATALOG).output


def test_the_edge_knows_the_rights_at_once(redis_url: str) -> None:
    version = as_json("apply", CATALOG)["rights_version"]
    with Redis.from_url(redis_url) as redis:
        assert published_tenants(redis) == ["acme-ai"]
        assert redis.scard(keys_key("acme-ai")) == 2
    assert as_json("apply", CATALOG)["rights_version"] > version


def test_a_dry_run_shows_the_same_and_does_nothing(tmp_path: Path) -> None:
    planned = as_json("apply", CATALOG, "--dry-run")
    done = as_json("apply", CATALOG)
    assert planned["changes"] == done["changes"]
    dearer = edited(tmp_path, ("0.00001", "0.00002"))
    assert as_json("apply", dearer, "--dry-run")["counts"]["change"] == 1
    assert as_json("apply", dearer)["counts"]["change"] == 1


def test_a_person_sees_what_changes_and_to_what(tmp_path: Path) -> None:
    aforo("apply", CATALOG)
    output = aforo("apply", edited(tmp_path, ("0.00001", "0.00002"))).output
    assert "0.00001 → 0.00002" in output
    assert "version 2; existing subscriptions stay on theirs" in output


def test_a_contradiction_is_refused_by_field_with_exit_code_3(tmp_path: Path) -> None:
    aforo("apply", CATALOG)
    result = aforo("apply", edited(tmp_path, ("aggregation: COUNT", "aggregation: SUM")))
    assert result.exit_code == 3
    assert "units[2].aggregation: cannot change from COUNT to SUM" in result.output


def test_bad_input_is_refused_by_field_with_exit_code_2(tmp_path: Path) -> None:
    file = edited(tmp_path, ("{ upTo: 10_000_000, unitPrice: 0.0000025 }", "{ upTo: -5, unitPrice: 0.1 }"))
    result = aforo("apply", file, "--json")
    assert result.exit_code == 2
    problem = json.loads(result.output)["error"]["problems"][0]
    assert (problem["field"], problem["code"]) == ("ratePlans[0].metrics[0].tiers[0].upTo", "INVALID_FIELD")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\na: 2", "twice"),
        ("a: [", "not YAML"),
        ("a: .inf", "not a decimal"),
        ("a: !!python/name:os.system", "YAML"),
    ],
)
def test_yaml_that_could_mislead_is_refused(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UnreadableCatalog, match=says):
        load_document(file)
    assert aforo("apply", file).exit_code == 2


def test_yaml_keeps_every_digit_and_every_day(tmp_path: Path) -> None:
    file = tmp_path / "numbers.yaml"
    file.write_text("a: 0.1\nb: 2.50\nc: 10_000_000\nd: 2023-11-01\ne: 007\nf: true", encoding="utf-8")
    values = load_document(file)
    assert values == {
        "a": Decimal("0.1"),
        "b": Decimal("2.50"),
        "c": 10_000_000,
        "d": "2023-11-01",
        "e": "007",
        "f": True,
    }
    assert isinstance(values["a"], Decimal)


def test_the_operators_token_stays_the_same(home: Path) -> None:
    assert operator_token(home) == operator_token(home)
    assert stat.S_IMODE((home / "secrets" / "operator_token").stat().st_mode) == 0o600


@pytest.fixture
def billed(_stack: None, database_url: str, lake_url: str) -> None:
    """One invoice of 10.00 with a line of two events."""
    assert aforo("apply", CATALOG).exit_code == 0
    with session_scope(database_url) as session:
        settle(session, [settlement("code", tenant="acme-ai")], [line("code", tenant="acme-ai")])
    event = dict.fromkeys(METERED_EVENTS.schema) | {
        "month": "2023-11", "tenant_id": "acme-ai", "customer_id": "code", "line_id": "ln_code", "unit": "requests",
        "quantity": Decimal(1), "disposition": "BILLABLE", "late": False, "correction": False,
    }  # fmt: skip
    events = [
        event
        | {
            "raw_seq": n,
            "key_hash": n,
            "idempotency_key": f"k{n}",
            "occurred_at": datetime(2023, 11, n, tzinfo=UTC),
        }
        for n in (2, 1)
    ]
    frame = pl.DataFrame(events, schema=METERED_EVENTS.schema)
    Lake(lake_url).replace("metered_events", frame, Scope(month="2023-11"))


@pytest.mark.usefixtures("billed")
def test_invoices_are_listed_and_filtered() -> None:
    assert "INV-2023-0001" in aforo("invoices").output
    assert [row["total"] for row in as_json("invoices", "--tenant", "acme-ai", "--month", "2023-11")] == [
        "10.0000"
    ]
    assert as_json("invoices", "--status", "paid") == []
    assert aforo("invoices", "--status", "LOST").exit_code == 2
    assert aforo("invoices", "--month", "November").exit_code != 0


@pytest.mark.usefixtures("billed")
def test_an_invoice_moves_on_and_refuses_steps_out_of_order() -> None:
    assert as_json("invoices", "finalize", "INV-2023-0001")["status"] == "OPEN"
    assert as_json("invoices", "pay", "INV-2023-0001")["status"] == "PAID"
    assert aforo("invoices", "void", "INV-2023-0001", "--reason", "late").exit_code == 3
    assert aforo("invoices", "pay", "INV-2023-0404").exit_code == 2


@pytest.mark.usefixtures("billed")
def test_show_opens_an_invoice_down_to_its_tiers_and_events() -> None:
    shown = aforo("show", "INV-2023-0001").output
    assert "up to 1000" in shown
    assert "at 0.01" in shown
    assert as_json("show", "INV-2023-0001")["lines"][0]["line_id"] == "ln_code"
    events = as_json("show", "INV-2023-0001", "--events", "ln_code", "--limit", 1)["events"]
    assert [event["idempotency_key"] for event in events] == ["k1"]
    assert aforo("show", "INV-2023-0001", "--events", "ln_other").exit_code == 2
