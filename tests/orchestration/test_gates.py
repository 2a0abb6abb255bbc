"""Gates that bite: a corrupt table stops everything downstream, with the failing rows named."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import dagster as dg
import polars as pl
import pytest

from assets._table import MONTHS
from orchestration.checks import EVENT_TABLES
from storage.scope import Scope
from tests.scenarios import MARCH, MARCH_USAGE
from tests.world import QUIET, World
from transforms.frames import TABLES

BILLING = [name for name in TABLES if name not in EVENT_TABLES]
Corruption = Callable[[pl.DataFrame], pl.DataFrame]


def first_row(**values: object) -> Corruption:
    """Set columns of the first row."""

    def corrupt(frame: pl.DataFrame) -> pl.DataFrame:
        first = pl.int_range(pl.len()) == 0
        return frame.with_columns(
            pl.when(first).then(pl.lit(value, dtype=frame.schema[name])).otherwise(name).alias(name)
            for name, value in values.items()
        )

    return corrupt


def more_money(column: str) -> Corruption:
    return lambda frame: frame.with_columns(pl.col(column) + 1)


CORRUPTIONS: dict[str, tuple[Corruption, str]] = {
    "billing_terms": (first_row(included_free=Decimal(-1)), "included_free_at_least_zero"),
    "metered_events": (first_row(quantity=Decimal(-1)), "quantity_not_negative"),
    "wallet_balances": (lambda frame: stray_grant(frame), "available_at_least_zero"),
    "bonus_balances": (lambda frame: stray_units(frame), "available_at_least_zero"),
    "quota_checks": (first_row(line_id="ln_nowhere"), "no_orphan_line"),
    "rollovers": (first_row(carried=Decimal(-5)), "carried_at_least_zero"),
    "usage_aggregates": (first_row(events=77), "every_event_counted"),
    "allowances": (first_row(included=Decimal(1_000)), "parts_make_the_whole"),
    "rated_lines": (first_row(line_id="ln_nowhere"), "no_orphan_line"),
    "committed_lines": (lambda frame: frame.tail(-1), "no_line_lost"),
    "discounted_lines": (first_row(discount=Decimal(1_000_000)), "discount_within_charge"),
    "taxed_lines": (first_row(taxable=Decimal("0.01")), "taxable_adds_up"),
    "routed_lines": (first_row(destination="HELD"), "held_says_why"),
    "settlements": (more_money("subtotal"), "lines_add_up"),
    "invoices": (lambda frame: frame.with_columns(number=pl.lit("INV-1")), "number_unique"),
    "invoice_lines": (first_row(invoice_id="inv_nowhere"), "no_orphan_line"),
    "invoice_taxes": (lambda frame: stray_tax(frame), "taxes_add_up"),
}


def stray_tax(frame: pl.DataFrame) -> pl.DataFrame:
    """A tax of an invoice that levies none."""
    ids = {
        "month": MARCH,
        "tenant_id": "acme",
        "customer_id": "ada",
        "invoice_id": "inv_x",
        "number": 1,
        "name": "VAT",
    }
    rest = {
        "treatment": "STANDARD",
        "inclusive": False,
        "currency": "USD",
        "taxable": Decimal(1),
        "tax": Decimal(1),
    }
    return pl.DataFrame([{**dict.fromkeys(frame.columns), **ids, **rest}], schema=frame.schema)


def stray_grant(frame: pl.DataFrame) -> pl.DataFrame:
    """A wallet that owes."""
    ids = {
        "month": MARCH,
        "tenant_id": "acme",
        "customer_id": "ada",
        "wallet_id": "wal_x",
        "grant_id": "grt_x",
    }
    rest = {"currency": "USD", "burn_order": 1, "kind": "CASH", "available": Decimal(-1)}
    return pl.DataFrame([{**dict.fromkeys(frame.columns), **ids, **rest}], schema=frame.schema)


def stray_units(frame: pl.DataFrame) -> pl.DataFrame:
    """A wallet that owes units."""
    row = {
        "month": MARCH,
        "tenant_id": "acme",
        "customer_id": "ada",
        "unit": "requests",
        "wallet_id": "wal_x",
        "grant_id": "grt_x",
    }
    rest = {"burn_order": 1, "available": Decimal(-1), "effective_at": datetime(2026, 3, 1, tzinfo=UTC)}
    return pl.DataFrame([{**dict.fromkeys(frame.columns), **row, **rest}], schema=frame.schema)


def run_from(world: World, table: str) -> dg.ExecuteInProcessResult:
    """The gate of a table and everything downstream of it, without making the table anew."""
    graph = world.defs.resolve_asset_graph()
    below = dg.AssetSelection.assets(table).downstream(include_self=False)
    job = world.defs.resolve_job_def("close_month").get_subset(
        asset_selection=below.resolve(graph) & {dg.AssetKey(name) for name in BILLING},
        asset_check_selection={dg.AssetCheckKey(dg.AssetKey(table), "gate")},
    )
    return job.execute_in_process(
        instance=world.instance, partition_key=MARCH, run_config=QUIET, raise_on_error=False
    )


def test_every_billing_table_is_corrupted_in_these_tests():
    assert set(CORRUPTIONS) == set(BILLING)


@pytest.mark.parametrize("table", BILLING)
def test_a_corrupt_table_stops_everything_downstream(billed: World, table: str):
    corrupt, expectation = CORRUPTIONS[table]
    billed.lake.replace(table, corrupt(billed.rows(table, month=MARCH)), Scope(MARCH))

    result = run_from(billed, table)

    checks = [check for check in result.get_asset_check_evaluations() if not check.passed]
    assert [check.asset_key.path[-1] for check in checks] == [table]
    assert expectation in checks[0].metadata["failing_rows"].value
    assert "|" in checks[0].metadata["failing_rows"].value
    assert not result.get_asset_materialization_events()


@pytest.mark.parametrize("table", EVENT_TABLES)
def test_a_corrupt_event_table_stops_the_run(billed: World, table: str):
    rows = billed.lake.scan(table).collect()
    broken = rows.head(1).with_columns(raw_seq=pl.lit(999)) if rows.height else quarantine_row(billed)
    broken = broken.with_columns(quantity=pl.lit(Decimal(-7), dtype=broken.schema["quantity"]))
    billed.lake.cursor(table).append(broken, markers={"vandal": 1})

    job = billed.defs.resolve_job_def("ingest").get_subset(
        asset_check_selection={dg.AssetCheckKey(dg.AssetKey(table), "gate")}, asset_selection=set()
    )
    result = job.execute_in_process(instance=billed.instance, run_config=QUIET, raise_on_error=False)

    (check,) = result.get_asset_check_evaluations()
    assert not check.passed
    assert "999" in check.metadata["failing_rows"].value


def quarantine_row(world: World) -> pl.DataFrame:
    """A row about a raw event that does not exist, marked as a duplicate of nothing."""
    raw = world.lake.scan("raw_events").head(1).collect()
    row = raw.with_columns(
        raw_seq=pl.lit(999), code=pl.lit("DUPLICATE"), detail=pl.lit(None), first_raw_seq=pl.lit(None)
    )
    return TABLES["quarantined_events"].conform(row)


def test_corrupt_validated_events_stop_the_bill(billed: World):
    row = billed.lake.scan("validated_events").head(1).collect()
    billed.lake.cursor("validated_events").append(
        row.with_columns(quantity=-pl.col("quantity")), markers={"vandal": 1}
    )
    result = billed.close(MARCH, expect=False)
    made = {event.asset_key.path[-1] for event in result.get_asset_materialization_events()}
    assert made == {"billing_terms", "rollovers", "wallet_balances", "bonus_balances"}, (
        "only what needs no events"
    )


def test_a_frame_that_breaks_its_suite_is_never_written(billed: World, monkeypatch: pytest.MonkeyPatch):
    before = billed.lake.version("metered_events")
    # A price nobody agreed: the same events, a term that no longer belongs to any line.
    terms = billed.rows("billing_terms", month=MARCH)
    overlapping = pl.concat(
        [terms, terms.filter(kind="USAGE").with_columns(line_id=pl.lit("ln_") + pl.col("line_id"))]
    )
    billed.lake.replace("billing_terms", overlapping, Scope(MARCH))
    job = billed.defs.resolve_job_def("close_month").get_subset(
        asset_selection={dg.AssetKey("metered_events")}
    )
    result = job.execute_in_process(
        instance=billed.instance, partition_key=MARCH, run_config=QUIET, raise_on_error=False
    )
    (failure,) = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert "gate of metered_events" in failure.user_failure_data.description
    assert "failing_rows" in failure.user_failure_data.metadata
    assert billed.lake.version("metered_events") == before


def test_every_asset_has_a_blocking_gate(world: World):
    graph = world.defs.resolve_asset_graph()
    gated = {key.asset_key.path[-1] for key in graph.asset_check_keys if graph.get_check_spec(key).blocking}
    assert gated == set(TABLES)


def test_no_table_is_pickled_somewhere(world: World):
    assert type(world.defs.resources["io_manager"]).__name__ == "LakeTables"
    assert MONTHS.get_partition_keys()[0] == "2020-01"


def test_march_usage_is_what_the_gates_saw(billed: World):
    assert billed.lake.scan("raw_events").collect().height == 2 * len(MARCH_USAGE)
