"""After Rate: spend, coupons, tax, where lines go, what invoices come to."""

from typing import Any

import polars as pl
import pytest

from tests.transforms.billing_rows import (
    DECEMBER,
    MID_NOVEMBER,
    NOVEMBER,
    aggregates,
    d,
    term,
    terms,
    unpriced,
    used,
)
from transforms.frames import ALLOWANCES, INVOICE_LINES, INVOICES, TABLES
from transforms.invoice_lines import LinesWithoutInvoice, invoice_lines
from transforms.pipeline import STAGES, run
from transforms.s02_rollover import rollover
from transforms.s04_allowance import allowance
from transforms.s05_rate import rate
from transforms.s06_commit import commit
from transforms.s07_discount import discount
from transforms.s08_tax import tax
from transforms.s09_route import route
from transforms.s10_settle import settle


def taxed(
    *lines: tuple[dict[str, Any], str | int | None], extra: tuple[dict[str, Any], ...] = ()
) -> pl.DataFrame:
    frozen = terms(*(line for line, _ in lines))
    usage = aggregates(*(used(line, value) for line, value in lines if line["unit"]), *extra)
    free = allowance(
        usage_aggregates=usage,
        rollovers=rollover(terms=frozen, earlier_allowances=ALLOWANCES.empty()),
        terms=frozen,
    )
    rated = rate(allowances=free, usage_aggregates=usage, terms=frozen)
    discounted = discount(committed_lines=commit(rated_lines=rated, terms=frozen), terms=frozen)
    return tax(discounted_lines=discounted, terms=frozen)


def numbered(settlements: pl.DataFrame) -> pl.DataFrame:
    extra = {"number": "INV-2023-0001", "status": "DRAFT", "content_hash": "0"}
    extra |= {"input_hash": "0", "raw_until": 1, "code_version": "0"}
    return INVOICES.conform(
        settlements.with_columns(**{name: pl.lit(value) for name, value in extra.items()})
    )


def test_without_rules_the_lines_pass_unchanged() -> None:
    line = taxed((term(), 500)).row(0, named=True)
    assert (line["amount"], line["taxable"]) == (d(5), d(5))
    assert (line["commit_adjustment"], line["discount"], line["tax"]) == (d(0), d(0), d(0))


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"billing_timing": "ADVANCE"}, "Rate cannot honour charges in advance"),
        ({"unsupported": "a commitment"}, "Rate cannot honour a commitment"),
    ],
)
def test_terms_that_cannot_be_billed_yet_hold_their_customer_by_name_and_no_other(
    given: dict[str, Any], reason: str
) -> None:
    lines = [term(**given), term("b"), term(customer_id="c2")]
    routed = route(taxed_lines=taxed(*((line, 5) for line in lines)), terms=terms(*lines))
    held = routed.filter(pl.col("destination") == "HELD")
    assert set(held["line_id"]) == {"ln_c1_api_calls", "ln_c1_b"}
    assert reason in held["hold_reason"][0]
    assert "yet: api_calls of plan pro v1 (subscription sub_c1)" in held["hold_reason"][0]
    assert settle(routed_lines=routed, terms=terms(*lines))["customer_id"].to_list() == ["c2"]


def committed(*lines: tuple[dict[str, Any], str | int]) -> list[Any]:
    """Adjustments by line, in order."""
    return taxed(*lines)["commit_adjustment"].to_list()


def test_a_minimum_spend_is_topped_up_once_per_subscription_and_shared_by_amount() -> None:
    least = {"minimum_spend": d(10)}
    assert committed((term("a", **least), 100), (term("b", line_order=2, **least), 200)) == [
        d("2.33"), d("4.67"),
    ]  # fmt: skip
    assert committed((term("a", **least), 500), (term("b", line_order=2, **least), 600)) == [d(0), d(0)]


def test_a_minimum_spend_of_a_period_without_usage_stands_on_the_first_line() -> None:
    least = {"minimum_spend": d(10)}
    assert committed((term("a", **least), 0), (term("b", line_order=2, **least), 0)) == [d(10), d(0)]


def test_a_maximum_spend_cuts_what_is_above_it() -> None:
    most = {"maximum_spend": d(10)}
    assert committed((term("a", **most), 1000), (term("b", line_order=2, **most), 3000)) == [
        d("-7.5"), d("-22.5"),
    ]  # fmt: skip
    assert committed((term(**most), 1000)) == [d(0)]


def test_a_part_of_a_period_owes_that_part_of_the_minimum() -> None:
    half = term(minimum_spend=d(10), active_start=MID_NOVEMBER)
    assert committed((half, 100)) == [d(4)]


def test_one_customers_minimum_is_not_met_by_another() -> None:
    lines = [(term(minimum_spend=d(10)), 100), (term(customer_id="c2", minimum_spend=d(10)), 5000)]
    assert committed(*lines) == [d(9), d(0)]


def test_spend_agreed_for_held_lines_is_left_alone() -> None:
    assert committed((term(rate=None, minimum_spend=d(10)), 100)) == [d(0)]


def test_lines_go_to_one_invoice_per_customer_and_currency() -> None:
    yen = {"currency": "JPY", "exponent": 0}
    lines = [term("a"), term("b"), term("c", **yen), term("a", customer_id="c2")]
    routed = route(taxed_lines=taxed(*((line, 5) for line in lines)), terms=terms(*lines))
    ids = dict(routed.select("line_id", "invoice_id").iter_rows())
    assert ids["ln_c1_a"] == ids["ln_c1_b"]
    assert len(set(ids.values())) == 3
    assert all(invoice.startswith("inv_") and len(invoice) == 24 for invoice in ids.values())


def test_a_problem_holds_all_lines_of_its_customer_and_no_others() -> None:
    lines = [term("a"), term("b", rate=None), term("a", customer_id="c2")]
    held = taxed(*((line, 5) for line in lines), extra=(unpriced("NO_SUBSCRIPTION"),))
    routed = route(taxed_lines=held, terms=terms(*lines))
    assert dict(routed.select("line_id", "destination").iter_rows()) == {
        "ln_c1_a": "HELD",
        "ln_c1_b": "HELD",
        "un_c1_gpu_hours": "HELD",
        "ln_c2_a": "INVOICE",
    }
    reasons = routed.filter(pl.col("customer_id") == "c1")["hold_reason"].unique().to_list()
    assert len(reasons) == 1
    assert "NO_PRICE: b of plan" in reasons[0]
    assert "; NO_SUBSCRIPTION: unit gpu_hours" in reasons[0]


def test_a_held_customer_has_no_invoice_and_the_others_have() -> None:
    lines = [term("a", rate=None), term("a", customer_id="c2")]
    routed = route(taxed_lines=taxed(*((line, 5) for line in lines)), terms=terms(*lines))
    assert settle(routed_lines=routed, terms=terms(*lines))["customer_id"].to_list() == ["c2"]


def test_an_invoice_is_the_sum_of_its_rounded_lines() -> None:
    """Three lines of 0.125 are 0.12 each: 0.36, not round(0.375) = 0.38."""
    lines = [term(unit, rate=d("0.125")) for unit in "abc"]
    routed = route(taxed_lines=taxed(*((line, 1) for line in lines)), terms=terms(*lines))
    row = settle(routed_lines=routed, terms=terms(*lines)).row(0, named=True)
    assert (row["subtotal"], row["total"], row["amount_due"]) == (d("0.36"), d("0.36"), d("0.36"))
    assert (row["lines"], row["discount"], row["tax"], row["wallet_amount"]) == (3, d(0), d(0), d(0))
    assert (row["period_start"], row["period_end"], row["billing_entity"]) == (NOVEMBER, DECEMBER, "main")


def test_a_customer_whose_lines_have_two_issuers_in_one_currency_is_held_by_name_and_no_other() -> None:
    lines = [term("a"), term("b", billing_entity="other"), term("a", customer_id="c2")]
    routed = route(taxed_lines=taxed(*((line, 5) for line in lines)), terms=terms(*lines))
    held = routed.filter(pl.col("destination") == "HELD")
    assert set(held["line_id"]) == {"ln_c1_a", "ln_c1_b"}
    assert held["hold_reason"][0].startswith("MIXED_BILLING_ENTITIES: lines in USD")
    assert "(main, other)" in held["hold_reason"][0]
    assert settle(routed_lines=routed, terms=terms(*lines))["customer_id"].to_list() == ["c2"]


def test_two_issuers_in_two_currencies_make_two_invoices() -> None:
    lines = [term("a"), term("b", billing_entity="other", currency="JPY", exponent=0)]
    routed = route(taxed_lines=taxed(*((line, 500) for line in lines)), terms=terms(*lines))
    settled = settle(routed_lines=routed, terms=terms(*lines)).sort("currency")
    assert settled.select("currency", "billing_entity").rows() == [("JPY", "other"), ("USD", "main")]


def test_invoice_lines_name_their_invoice() -> None:
    lines = [term("a"), term("b", line_order=2)]
    routed = route(taxed_lines=taxed(*((line, 5) for line in lines)), terms=terms(*lines))
    invoices = numbered(settle(routed_lines=routed, terms=terms(*lines)))
    rows = invoice_lines(routed_lines=routed, invoices=invoices)
    assert rows.schema == pl.Schema(INVOICE_LINES.schema)
    assert rows.select("unit", "number").rows() == [("a", "INV-2023-0001"), ("b", "INV-2023-0001")]


def test_held_lines_are_on_no_invoice_and_lost_ones_are_an_error() -> None:
    held, free = term("a", rate=None), term("a", customer_id="c2")
    routed = route(taxed_lines=taxed((held, 5), (free, 5)), terms=terms(held, free))
    settled = numbered(settle(routed_lines=routed, terms=terms(held, free)))
    assert invoice_lines(routed_lines=routed, invoices=settled)["customer_id"].to_list() == ["c2"]
    with pytest.raises(LinesWithoutInvoice, match="ln_c2_a"):
        invoice_lines(routed_lines=routed, invoices=INVOICES.empty())


def test_a_month_of_nothing_passes_all_ten_stages_empty() -> None:
    made = run(metered_events=TABLES["metered_events"].empty().lazy(), terms=terms())
    assert list(made) == [stage.makes for stage in STAGES]
    assert all(
        frame.is_empty() and frame.schema == pl.Schema(TABLES[name].schema) for name, frame in made.items()
    )
    assert invoice_lines(routed_lines=made["routed_lines"], invoices=INVOICES.empty()).is_empty()


def test_terms_without_events_bill_the_fees() -> None:
    frozen = terms(term(None, flat_amount=d(49)), term(), term("x", due=False))
    made = run(metered_events=TABLES["metered_events"].empty().lazy(), terms=frozen)
    assert made["settlements"].select("subtotal", "lines").row(0) == (d(49), 2)


def test_the_stages_are_the_ten_in_their_order() -> None:
    order = "QuotaCheck Rollover Aggregate Allowance Rate Commit Discount Tax Route Settle"
    assert [stage.name for stage in STAGES] == order.split()
