"""Before money: caps, carried units, free units."""

import pytest

from tests.transforms.billing_rows import aggregates, d, term, terms, unpriced, used
from transforms.frames import ALLOWANCES, METERED_EVENTS, QUOTA_CHECKS, ROLLOVERS
from transforms.s01_quota_check import quota_check
from transforms.s02_rollover import rollover
from transforms.s04_allowance import UsageWithoutTerms, allowance
from transforms.terms import due


def allowed(line: dict, value: str | int | None, **given: object) -> dict:
    frozen = terms(line)
    rows = allowance(
        usage_aggregates=aggregates(used(line, value, **given)),
        rollovers=rollover(terms=frozen, earlier_allowances=ALLOWANCES.empty()),
        terms=frozen,
    )
    assert rows.schema == ALLOWANCES.empty().schema
    return rows.row(0, named=True)


def test_only_terms_due_this_month_are_billed() -> None:
    assert due(terms(term("a"), term("b", due=False)))["unit"].to_list() == ["a"]


def test_each_unit_is_checked_and_fees_have_no_quota() -> None:
    checks = quota_check(
        metered_events=METERED_EVENTS.empty().lazy(),
        terms=terms(term("b", line_order=2), term("a"), term(None)),
    )
    assert checks.schema == QUOTA_CHECKS.empty().schema
    assert checks.select("unit", "verdict").rows() == [("a", "UNCAPPED"), ("b", "UNCAPPED")]


def test_a_cap_whose_overage_is_charged_limits_nothing() -> None:
    checks = quota_check(
        metered_events=METERED_EVENTS.empty().lazy(), terms=terms(term(cap=d(100), cap_behavior="CHARGE"))
    )
    assert checks.select("cap", "verdict").row(0) == (d(100), "UNCAPPED")


def test_nothing_is_carried_over() -> None:
    carried = rollover(terms=terms(term(), term(None)), earlier_allowances=ALLOWANCES.empty())
    assert (carried.schema, carried["carried"].to_list()) == (ROLLOVERS.empty().schema, [d(0)])


@pytest.mark.parametrize(
    ("value", "included", "billable"),
    [(1500, 1000, 500), (1000, 1000, 0), ("999.5", "999.5", 0), (0, 0, 0), (-3, 0, 0)],
)
def test_free_units_come_off_once_and_never_below_zero(value: str, included: str, billable: str) -> None:
    row = allowed(term(included_free=d(1000)), value)
    assert (row["included"], row["billable"]) == (d(included), d(billable))


def test_without_a_value_nothing_is_billable() -> None:
    row = allowed(term(included_free=d(1000), aggregation="MAX"), None)
    assert (row["value"], row["included"], row["billable"], row["events"]) == (None, d(0), None, 0)


def test_carried_units_are_free_too() -> None:
    line = term(included_free=d(10))
    frozen = terms(line)
    carried = rollover(terms=frozen, earlier_allowances=ALLOWANCES.empty()).with_columns(carried=d("5"))
    rows = allowance(
        usage_aggregates=aggregates(used(line, 20)), rollovers=ROLLOVERS.conform(carried), terms=frozen
    )
    assert rows.select("included", "billable").row(0) == (d(15), d(5))


def test_usage_nothing_prices_has_no_allowance() -> None:
    frozen = terms()
    usage = aggregates(unpriced("NO_PRICE"))
    assert allowance(
        usage_aggregates=usage,
        rollovers=rollover(terms=frozen, earlier_allowances=ALLOWANCES.empty()),
        terms=frozen,
    ).is_empty()


def test_billable_usage_without_terms_is_an_error_not_free() -> None:
    with pytest.raises(UsageWithoutTerms, match="ln_c1_api_calls"):
        allowance(usage_aggregates=aggregates(used(term(), 5)), rollovers=ROLLOVERS.empty(), terms=terms())
