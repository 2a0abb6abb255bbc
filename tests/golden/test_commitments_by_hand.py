"""Invoices under commitments, worked by hand, each line visible. A base fee of 20.00 and calls at 0.01 each."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from domain.catalog.fields import Fields
from domain.catalog.plan_reading import read_plan
from domain.catalog.units import Unit
from domain.commitment import Committed
from domain.period import Schedule
from domain.terms import Contract, plan_terms, terms_of_month
from tests.transforms.billing_rows import metered, terms
from transforms.pipeline import run

D = Decimal
START = datetime(2026, 1, 1, tzinfo=UTC)


def billed(commitment: dict[str, Any], month: str, calls: int, spent: str = "0", drawn: str = "0") -> dict[str, pl.DataFrame]:  # fmt: skip
    """The month's tables. spent, drawn: what the term's earlier bills came to."""
    body = {"key": "pro", "name": "Pro", "baseFee": 20, "commitment": commitment}
    plan = read_plan(Fields({**body, "metrics": [{"unit": "calls", "rate": D("0.01")}]}, ""), "USD")
    agreed = plan_terms("pro", 1, plan.content({"calls": Unit("calls", "Calls", "SUM")}))
    schedule = Schedule(date(2026, 1, 1), "MONTHLY", 1, "UTC")
    contract = Contract(
        "acme", "c1", "sub", schedule, START, None, "o", "POSTPAID", "main", "HALF_EVEN", agreed
    )
    rows = [
        row | {"commitment": with_past(row["commitment"], spent, drawn)}
        for row in terms_of_month(contract, month)
    ]
    usage = next(row for row in rows if row["unit"])
    return run(metered_events=metered((usage, calls)), terms=terms(*rows))


def with_past(text: str, spent: str, drawn: str) -> str:
    from dataclasses import replace

    return replace(Committed.from_text(text), spent=D(spent), drawn=D(drawn)).as_text()


def lines(made: dict[str, pl.DataFrame]) -> dict[str, Decimal]:
    rows = made["routed_lines"].with_columns(charged=pl.col("amount") + pl.col("commit_adjustment"))
    assert set(rows["destination"]) == {"INVOICE"}
    return dict(rows.select("description", "charged").iter_rows())


MONTHLY = {"type": "MONTHLY", "amount": 100, "overageFactor": "1.2"}
ANNUAL = {"type": "ANNUAL", "amount": 1000, "overageFactor": 2}
PREPAID = {"type": "PREPAID", "amount": 500, "overageFactor": "1.5", "termMonths": 6}
FEE, CALLS = "Pro plan: base fee", "Calls"


@pytest.mark.parametrize(
    ("agreed", "month", "past", "calls", "expected", "total"),
    [
        # 20 + 30 = 50: 50 short of 100.
        (MONTHLY, "2026-01", {}, 3000, {"true-up": 50, "beyond": 0}, "100"),
        # 20 + 130 = 150: 50 beyond, all of it usage, costs a fifth more.
        (MONTHLY, "2026-01", {}, 13000, {"true-up": 0, "beyond": 10}, "160"),
        # Within the term nothing is missing yet, so there is no line for it.
        (ANNUAL, "2026-03", {"spent": "200"}, 3000, {"beyond": 0}, "50"),
        # The last month: 700 + 50 = 750, 250 short of 1000.
        (ANNUAL, "2026-12", {"spent": "700"}, 3000, {"true-up": 250, "beyond": 0}, "300"),
        # 980 + 50 = 1030: 30 beyond, twice the price.
        (ANNUAL, "2026-11", {"spent": "980"}, 3000, {"beyond": 30}, "80"),
        # 500 paid when the term begins, 50 of it used at once.
        (PREPAID, "2026-01", {}, 3000, {"prepaid": 500, "drawn": -50, "beyond": 0}, "500"),
        # 450 used up, 50 left for 120: 70 beyond, half as much again.
        (PREPAID, "2026-06", {"drawn": "450"}, 10000, {"drawn": -50, "beyond": 35}, "105"),
        # The next term is paid for again.
        (PREPAID, "2026-07", {}, 3000, {"prepaid": 500, "drawn": -50, "beyond": 0}, "500"),
    ],
)  # fmt: skip
def test_an_invoice_under_a_commitment(
    agreed: dict[str, Any], month: str, past: dict[str, str], calls: int, expected: dict[str, int], total: str
) -> None:
    kind = {"MONTHLY": "monthly", "ANNUAL": "annual", "PREPAID": "prepaid"}[agreed["type"]]
    says = {
        "true-up": f"Pro plan: {kind} commitment, true-up", "beyond": f"Pro plan: usage beyond the {kind} commitment",
        "prepaid": "Pro plan: prepaid commitment", "drawn": "Pro plan: drawn from the prepaid commitment",
    }  # fmt: skip
    made = billed(agreed, month, calls, **past)
    assert lines(made) == {FEE: D(20), CALLS: D(calls) / 100} | {
        says[name]: D(each) for name, each in expected.items()
    }
    assert made["settlements"]["total"].to_list() == [D(total)]


def test_a_term_that_is_not_made_of_whole_periods_holds_its_customer() -> None:
    agreed = plan_terms("p", 1, {"name": "P", "currency": "USD", "baseFee": "1", "prices": [], "commitment": {
        "type": "ANNUAL", "amount": "10", "trueUp": True, "overageFactor": "1", "termMonths": 8}})  # fmt: skip
    schedule = Schedule(date(2026, 1, 1), "QUARTERLY", 1, "UTC")
    contract = Contract(
        "acme", "c1", "sub", schedule, START, None, "o", "POSTPAID", "main", "HALF_EVEN", agreed
    )
    made = run(metered_events=metered(), terms=terms(*terms_of_month(contract, "2026-03")))
    assert "a commitment of 8 months in a QUARTERLY billing cycle" in made["routed_lines"]["hold_reason"][0]
