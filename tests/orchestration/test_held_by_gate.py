"""Whatever table a customer's rows break, that customer is held by name and the others are billed, as if nobody else were there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from importlib import import_module
from typing import Any

import polars as pl
import pytest

from assets._dry_run import judged_dry_run
from expectations.admission import GateClosed
from sandbox.ground import Ground
from sandbox.month import bill
from storage.database import engine_of, session_scope
from storage.scope import Scope
from tests.orchestration.test_gates import stray_grant
from tests.scenarios import MARCH, event
from tests.world import World
from transforms.engine import Parts

BOB = (pl.col("customer_id") == "bob") & (pl.col("tenant_id") == "acme")
ADA = (pl.col("customer_id") == "ada") & (pl.col("tenant_id") == "acme")
MONEY = ("tenant_id", "customer_id", "total")
Spoil = Callable[[pl.DataFrame], pl.DataFrame]


def set_for(who: pl.Expr, **values: Any) -> Spoil:
    return lambda frame: frame.with_columns(
        pl.when(who).then(pl.lit(value, dtype=frame.schema[name])).otherwise(name).alias(name)
        for name, value in values.items()
    )


def grant_of_bob(frame: pl.DataFrame) -> pl.DataFrame:
    grant = stray_grant(frame).with_columns(customer_id=pl.lit("bob"), expires_at=None)
    return pl.concat([frame, grant.cast(dict(frame.schema))])


SPOILT: dict[str, tuple[str, Spoil, str]] = {
    "billing_terms": ("frozen_terms", set_for(BOB, included_free=Decimal(-1)), "included_free ≥ 0"),
    "wallet_balances": ("frozen_balances", grant_of_bob, "available ≥ 0"),
    "rollovers": ("rollover", lambda frame: frame.filter(~BOB), "hold every line of usage"),
    "metered_events": ("meter_by_customers", set_for(BOB, quantity=Decimal(-1)), "quantity ≥ 0"),
    "usage_aggregates": ("aggregate", set_for(BOB, events=77), "count each line's metered events"),
    "rated_lines": ("rate", set_for(BOB, amount=Decimal("0.005")), "be a whole number"),
    "committed_lines": ("commit", lambda frame: frame.filter(~BOB), "have every line of rated_lines"),
    "settlements": ("settle", set_for(BOB, subtotal=Decimal(7)), "total = subtotal"),
}
"""By table: the function its asset calls, what that does wrong about bob of acme, and what the gate says."""


def spoil(monkeypatch: pytest.MonkeyPatch, table: str, wrong: Spoil) -> None:
    """Let a table's asset get it wrong."""
    module, (name, _, _) = import_module(f"assets.{table}"), SPOILT[table]
    good = getattr(module, name)

    def spoilt(*args: Any, **given: Any) -> Any:
        made = good(*args, **given)
        if isinstance(made, Parts):
            return Parts(wrong(part) for part in made.frames)
        if isinstance(made, pl.DataFrame):
            return wrong(made)
        schema = import_module("transforms.frames").TABLES[table].schema
        return wrong(pl.DataFrame(made, schema=schema)).to_dicts()

    monkeypatch.setattr(module, name, spoilt)


def bills(world: World) -> list[tuple[Any, ...]]:
    return sorted(world.rows("invoices", month=MARCH).select(MONEY).rows())


def reasons(world: World) -> dict[tuple[str, str], str]:
    held = world.rows("routed_lines", month=MARCH).filter(destination="HELD")
    return {(row["tenant_id"], row["customer_id"]): row["hold_reason"] for row in held.to_dicts()}


def again(world: World) -> None:
    bill(Ground(engine_of(world.database_url), world.lake), MARCH, (), ())


def marked(table: str) -> object:
    """One before Rate and one from there on; the others are tried with the long runs."""
    is_long = table not in ("metered_events", "rated_lines")
    return pytest.param(table, marks=[pytest.mark.slow] if is_long else [])


@pytest.mark.parametrize("table", map(marked, SPOILT))
def test_rows_of_one_customer_that_break_a_gate_hold_that_customer_by_name_and_no_other(
    billed: World, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    before = bills(billed)
    _, wrong, says = SPOILT[table]
    spoil(monkeypatch, table, wrong)
    again(billed)
    held = reasons(billed)
    assert list(held) == [("acme", "bob")]
    assert (
        f"GATE_FAILED: a {'line' if table.endswith('_lines') else 'row'} of {table} does not "
        in held["acme", "bob"]
    )
    assert says in held["acme", "bob"]
    assert bills(billed) == [each for each in before if each[:2] != ("acme", "bob")]


def test_whom_a_gate_held_is_billed_again_once_the_table_is_right(
    billed: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = bills(billed)
    with monkeypatch.context() as broken:
        spoil(broken, "metered_events", SPOILT["metered_events"][1])
        again(billed)
    again(billed)
    assert (bills(billed), reasons(billed)) == (before, {})


def test_a_table_that_is_wrong_about_everybody_is_not_written(
    billed: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = billed.lake.version("usage_aggregates")
    spoil(monkeypatch, "usage_aggregates", lambda frame: frame.with_columns(events=pl.col("events") + 1))
    with pytest.raises(GateClosed, match="gate of usage_aggregates"):
        again(billed)
    assert billed.lake.version("usage_aggregates") == before


def test_a_customer_of_whom_no_term_is_left_is_held_in_a_line_of_its_own(
    billed: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, "billing_terms", SPOILT["billing_terms"][1])
    again(billed)
    lines = billed.rows("routed_lines", month=MARCH).filter(BOB)
    assert set(lines["line_type"]) == {"UNPRICED"}
    assert "Held by a gate" not in set(lines["description"]), "usage without a price says it already"
    again_without_usage(billed)
    (line,) = billed.rows("routed_lines", month="2026-02").filter(BOB).to_dicts()
    assert (line["description"], line["destination"], line["amount"]) == ("Held by a gate", "HELD", 0)


def again_without_usage(world: World) -> None:
    bill(Ground(engine_of(world.database_url), world.lake), "2026-02", (), ())


def test_a_run_of_dagsters_says_whom_its_gate_held_and_goes_on(
    billed: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, "metered_events", SPOILT["metered_events"][1])
    result = billed.close(MARCH)
    said = {
        made.asset_key.path[-1]: made.materialization.metadata
        for made in result.get_asset_materialization_events()
    }["metered_events"]
    assert said["held_by_gate"].value == "acme/bob"
    assert "quantity_not_negative" in said["held_rows"].value
    assert list(reasons(billed)) == [("acme", "bob")]
    assert billed.rows("metered_events", month=MARCH).filter(BOB).is_empty()


def test_a_dry_run_holds_whom_the_bill_would_hold(billed: World) -> None:
    billed.send(
        "acme", [event("bob", "api_calls", 1, "2026-03-20T00:00:00Z", "odd")], received="2026-03-21T00:00:00"
    )
    billed.ingest()
    odd = billed.lake.scan("validated_events").filter(idempotency_key="odd").collect()
    wrong = odd.with_columns(quantity=-pl.col("quantity"), raw_seq=pl.lit(999), key_hash=pl.lit(999))
    billed.lake.cursor("validated_events").append(
        wrong.with_columns(idempotency_key=pl.lit("odder")), markers={"vandal": 1}
    )
    with session_scope(billed.database_url) as session:
        told = judged_dry_run(session, billed.lake, Scope(MARCH))
    (held,) = told["held"]
    assert (held["tenantId"], held["customerId"]) == ("acme", "bob")
    assert held["reason"].startswith("GATE_FAILED: a row of metered_events does not have quantity ≥ 0")
    assert ("acme", "bob") not in {(each["tenantId"], each["customerId"]) for each in told["invoices"]}
    assert len(told["invoices"]) == 3
    said: Sequence[Any] = [each for each in told["gates"] if each["says"]]
    assert [(each["table"], each["passed"]) for each in said] == [("metered_events", True)]
