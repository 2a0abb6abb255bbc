"""Every expectation of every suite passes on a good month and fails, with the failing rows, on a corrupted one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from expectations.catalogue import suite_of, suites
from expectations.suite import Fact, find_facts
from tests.expectations.month import good_month
from transforms.frames import TABLES

Corruption = Callable[[pl.DataFrame], pl.DataFrame]


def row(place: int = 0, **values: Any) -> Corruption:
    """Set columns of one row."""

    def corrupt(frame: pl.DataFrame) -> pl.DataFrame:
        here = pl.int_range(pl.len()) == place % frame.height
        return frame.with_columns(
            pl.when(here).then(pl.lit(value, dtype=frame.schema[name])).otherwise(name).alias(name)
            for name, value in values.items()
        )

    return corrupt


def plus(column: str, amount: str = "1") -> Corruption:
    """Add to a column of the first row."""
    return lambda frame: row(**{column: frame[column][0] + Decimal(amount)})(frame)


def without(place: int) -> Corruption:
    """A row lost."""
    return lambda frame: frame.with_row_index("_").filter(pl.col("_") != place % frame.height).drop("_")


def shifted(column: str, by: timedelta) -> Corruption:
    return lambda frame: frame.with_columns(pl.col(column) + by)


def both(*several: Corruption) -> Corruption:
    def corrupt(frame: pl.DataFrame) -> pl.DataFrame:
        for each in several:
            frame = each(frame)
        return frame

    return corrupt


def again(frame: pl.DataFrame) -> pl.DataFrame:
    """The first row twice."""
    return pl.concat([frame, frame.head(1)])


def again_as(**values: Any) -> Corruption:
    """The first row once more, with another identity."""
    return lambda frame: pl.concat([frame, row(**values)(frame.head(1))])


def paid_by(grant: str) -> Corruption:
    """Every line pays ten from one grant."""

    def corrupt(frame: pl.DataFrame) -> pl.DataFrame:
        paid = [[{"grant_id": grant, "amount": Decimal(10)}]] * frame.height
        return frame.with_columns(pl.Series("wallet_payments", paid, dtype=frame.schema["wallet_payments"]))

    return corrupt


def drawn_from(grant: str) -> Corruption:
    """What bonus units covered comes from another grant."""
    draw = pl.struct(grant_id=pl.lit(grant), units="bonus")
    return lambda frame: frame.with_columns(
        bonus_draws=pl.when(pl.col("bonus") > 0).then(pl.concat_list(draw)).cast(frame.schema["bonus_draws"])
    )


NOWHERE = {"line_id": "ln_nowhere"}
ADDED = (
    ("no_orphan_line", row(**NOWHERE)),
    ("no_line_lost", without(0)),
)
MONEY = (*ADDED, ("money_unchanged", plus("amount")))
CORRUPTIONS: dict[str, tuple[tuple[str, Corruption], ...]] = {
    "raw_events": (
        ("door_known", row(door="OPEN")),
        ("accepted_is_complete", row(customer_id=None)),
        ("rejected_says_why", row(-1, reject_code=None)),
        ("sequence_unbroken", without(3)),
    ),
    "validated_events": (
        ("quantity_not_negative", row(quantity=Decimal(-1))),
        ("not_from_the_future", shifted("received_at", -timedelta(minutes=6))),
        ("not_too_old", shifted("received_at", timedelta(days=91))),
        ("acts_name_their_event", row(act="VOID")),
        ("raw_event_behind_it", row(raw_seq=999)),
        ("raw_event_behind_it", plus("quantity", "0.000000001")),
        ("raw_event_behind_it", row(tenant_id="other")),
        ("raw_event_behind_it", row(customer_id="c2")),
        ("key_unique", again_as(raw_seq=999)),
    ),
    "quarantined_events": (
        ("code_known", row(code="BECAUSE")),
        ("duplicate_names_the_first", row(first_raw_seq=None)),
        ("duplicate_names_the_first", row(first_raw_seq=999)),
        ("nothing_lost", without(1)),
        ("not_kept_as_well", again_as(raw_seq=1)),
    ),
    "billing_terms": (
        ("kind_known", row(kind="GIFT")),
        ("model_known", row(model="GUESS")),
        ("period_has_length", lambda f: f.with_columns(period_end=pl.col("period_start"))),
        ("active_within_period", shifted("active_end", timedelta(days=1))),
        ("included_free_at_least_zero", row(included_free=Decimal(-1))),
        ("usage_names_its_unit", row(1, unit=None)),
        ("one_price_at_a_time", lambda f: pl.concat([f, f.filter(unit="tokens").with_columns(line_id=pl.lit("ln_twice"))])),
        ("fee_has_amount", row(flat_amount=None)),
    ),
    "wallet_balances": (
        ("available_at_least_zero", row(available=Decimal(-1))),
        ("kind_known", row(kind="LOAN")),
        ("one_order_of_burning", again_as(grant_id="g2")),
    ),
    "bonus_balances": (
        ("available_at_least_zero", row(available=Decimal(-1))),
        ("good_for_a_time", lambda f: f.with_columns(expires_at=pl.col("effective_at"))),
        ("one_order_of_burning", again_as(grant_id="u2")),
    ),
    "metered_events": (
        ("disposition_known", row(disposition="LOST")),
        ("quantity_not_negative", row(quantity=Decimal(-1))),
        ("due_has_a_line", row(line_id=None)),
        ("due_has_a_line", row(disposition="NO_PRICE")),
        ("only_billable_earns", row(disposition="FILTERED")),
        ("no_orphan_line", row(**NOWHERE)),
        ("event_once", again_as(raw_seq=999)),
        ("no_event_lost", without(5)),
    ),
    "quota_checks": (
        ("verdict_known", row(verdict="MAYBE")),
        ("verdict_follows_usage", row(verdict="BLOCKED")),
        *ADDED,
    ),
    "rollovers": (("carried_at_least_zero", row(carried=Decimal(-5))), *ADDED),
    "usage_aggregates": (
        ("disposition_known", row(disposition="LOST")),
        ("events_at_least_zero", row(events=-1)),
        ("late_within_events", row(late_events=99)),
        *ADDED,
        ("every_event_counted", row(events=77)),
        ("sums_add_up", plus("value")),
        ("no_usage_overlooked", lambda f: f.filter(disposition="BILLABLE")),
    ),
    "allowances": (
        ("included_at_least_zero", row(included=Decimal(-1))),
        ("parts_make_the_whole", plus("billable")),
        *ADDED,
        ("money_unchanged", plus("value")),
        ("draws_make_the_bonus", row(bonus=Decimal(77))),
        ("no_grant_overdrawn", drawn_from("u9")),
    ),
    "rated_lines": (
        ("line_type_known", row(line_type="GIFT")),
        ("rounded_once", plus("amount", "2")),
        ("rounded_to_the_minor_unit", plus("amount", "0.01")),
        ("rounded_to_the_minor_unit", plus("amount", "0.001")),
        ("unpriced_says_why", row(line_type="UNPRICED", problem=None)),
        *ADDED,
        ("events_add_up", lambda f: f.with_columns((pl.col("unrounded") + Decimal("1e-21")).cast(f.schema["unrounded"]))),
    ),
    "committed_lines": MONEY,
    "discounted_lines": (
        ("discount_at_least_zero", row(discount=Decimal(-1))),
        ("discount_within_charge", row(discount=Decimal(1_000_000))),
        *MONEY,
    ),
    "taxed_lines": (
        ("taxable_adds_up", plus("taxable", "0.0001")),
        ("taxes_add_up", plus("tax", "0.01")),
        *MONEY,
    ),
    "routed_lines": (
        ("destination_known", row(destination="BIN")),
        ("held_says_why", row(destination="HELD")),
        ("routed_to_an_invoice", row(invoice_id=None)),
        ("problem_is_held", row(problem="NO_PRICE: …")),
        ("wallet_pays_no_more", row(wallet_amount=Decimal(1_000_000))),
        ("payments_add_up", row(-2, wallet_amount=Decimal(1))),
        ("no_grant_overspent", paid_by("g1")),
        ("no_grant_overspent", paid_by("g_nowhere")),
        *MONEY,
    ),
    "settlements": (
        ("total_adds_up", plus("tax")),
        ("due_adds_up", plus("wallet_amount")),
        ("lines_add_up", plus("lines")),
        ("lines_add_up", both(plus("wallet_amount"), plus("amount_due", "-1"))),
        ("lines_add_up", both(plus("subtotal"), plus("total"), plus("amount_due"))),
        ("lines_add_up", without(0)),
    ),
    "invoices": (
        ("total_adds_up", plus("total")),
        ("due_adds_up", plus("amount_due")),
        ("status_known", row(status="LOST")),
        ("settled_as_is", both(plus("subtotal"), plus("total"), plus("amount_due"))),
        ("no_settlement_lost", without(0)),
        ("number_unique", lambda f: f.with_columns(number=pl.lit("INV-1"))),
    ),
    "invoice_lines": (
        ("no_orphan_line", row(invoice_id="inv_nowhere")),
        ("invoice_adds_up", plus("amount", "0.01")),
        ("invoice_adds_up", plus("tax", "0.01")),
        ("invoice_adds_up", without(0)),
    ),
    "invoice_taxes": (("taxes_add_up", plus("tax")), ("taxes_add_up", lambda f: f.clear())),
}  # fmt: skip
CASES = [(asset, name, corrupt) for asset, several in CORRUPTIONS.items() for name, corrupt in several]


def facts(asset: str, frame: pl.DataFrame) -> dict[str, Fact]:
    suite = suite_of(asset)
    related = {name: good_month()[name].lazy() for name in suite.related}
    return {fact.name: fact for fact in find_facts(suite, frame.lazy(), related).facts}


def test_every_table_has_a_suite_and_every_suite_a_table() -> None:
    assert list(suites()) == list(TABLES)
    assert [suite.asset for suite in suites().values()] == list(TABLES)


def test_suites_ask_for_tables_that_exist() -> None:
    assert {name for suite in suites().values() for name in suite.related} <= set(TABLES)


@pytest.mark.parametrize("asset", TABLES)
def test_a_good_month_passes(asset: str) -> None:
    assert {
        name: fact.sample.rows()
        for name, fact in facts(asset, good_month()[asset]).items()
        if fact.violations
    } == {}


@pytest.mark.parametrize("asset", TABLES)
def test_an_empty_table_beside_empty_ones_passes(asset: str) -> None:
    suite = suite_of(asset)
    related = {name: TABLES[name].empty().lazy() for name in suite.related}
    found = find_facts(suite, TABLES[asset].empty().lazy(), related)
    assert [fact.name for fact in found.facts if fact.violations] == []


@pytest.mark.parametrize(
    ("asset", "name", "corrupt"),
    CASES,
    ids=[f"{asset}-{name}-{n}" for n, (asset, name, _) in enumerate(CASES)],
)
def test_a_corrupted_table_fails_and_shows_the_failing_rows(
    asset: str, name: str, corrupt: Corruption
) -> None:
    fact = facts(asset, corrupt(good_month()[asset]))[name]
    assert fact.violations > 0
    assert fact.sample.height == min(fact.violations, 20)
    assert fact.doc


@pytest.mark.parametrize("asset", TABLES)
def test_a_row_twice_is_found_by_its_key(asset: str) -> None:
    table, frame = TABLES[asset], good_month()[asset]
    found = facts(asset, again(frame))["key_unique"]
    assert found.sample.select(table.key).row(0) == frame.select(table.key).row(0)


@pytest.mark.parametrize("asset", TABLES)
def test_an_empty_required_field_is_found(asset: str) -> None:
    frame = good_month()[asset]
    for column in TABLES[asset].columns:
        found = facts(asset, row(**{column.name: None})(frame)).get("required_columns_filled")
        assert found is not None and (found.violations > 0) is not column.nullable, column.name


@pytest.mark.parametrize("asset", TABLES)
def test_a_missing_column_is_found_before_anything_else(asset: str) -> None:
    column = TABLES[asset].columns[-1].name
    (fact,) = facts(asset, good_month()[asset].drop(column)).values()
    assert (fact.name, fact.violations) == ("columns_complete", 1)
    assert column in fact.doc


def test_every_expectation_is_seen_to_fail_in_these_tests() -> None:
    generic = {"required_columns_filled", "key_unique"}
    seen = {(asset, name) for asset, name, _ in CASES}
    all_of_them = {(asset, name) for asset in TABLES for name in facts(asset, good_month()[asset])}
    assert {(asset, name) for asset, name in all_of_them if name not in generic} == {
        (asset, name) for asset, name in seen if name not in generic
    }


def test_the_sample_shows_which_rows_fail() -> None:
    corrupted = row(2, quantity=Decimal(-7))(good_month()["metered_events"])
    sample = facts("metered_events", corrupted)["quantity_not_negative"].sample
    assert sample["raw_seq"].to_list() == [corrupted["raw_seq"][2]]


def test_lines_with_a_problem_need_not_be_what_their_events_earn() -> None:
    lines = good_month()["rated_lines"]
    held = lines.with_columns(
        unrounded=pl.lit(0, dtype=lines.schema["unrounded"]), amount=pl.lit(0, dtype=lines.schema["amount"]),
        line_type=pl.lit("UNPRICED"), problem=pl.lit("NO_PRICE: …"),
    )  # fmt: skip
    assert [name for name, fact in facts("rated_lines", held).items() if fact.violations] == []


def test_a_line_whose_events_have_no_revenue_fails_unless_it_has_a_problem() -> None:
    month = good_month()
    blank = row(marginal_revenue=None)(month["metered_events"]).lazy()
    suite = suite_of("rated_lines")
    related = {name: month[name].lazy() for name in suite.related} | {"metered_events": blank}
    found = {
        fact.name: fact.violations for fact in find_facts(suite, month["rated_lines"].lazy(), related).facts
    }
    assert found["events_add_up"] == 1


def test_events_that_came_after_the_table_was_made_are_not_missed() -> None:
    """Ingest goes on while a month is billed."""
    month = good_month()
    earlier = month["metered_events"].filter(pl.col("raw_seq") <= 20)
    assert facts("metered_events", earlier)["no_event_lost"].violations == 0
