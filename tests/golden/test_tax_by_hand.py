"""Invoices with tax, worked by hand: two rates on top, a rate the prices contain, reverse charge, exempt, and one held."""

from datetime import date
from typing import Any

import polars as pl
import pytest

from domain.tax import TaxAnswer, TaxRate
from tests.transforms.billing_rows import d, metered, term, terms
from transforms.invoice_taxes import invoice_taxes
from transforms.pipeline import run

SINCE = date(2023, 1, 1)
STATE = TaxRate("ca", "State tax", "US", d("0.0725"), SINCE, "CA")
CITY = TaxRate("oakland", "City tax", "US", d("0.03"), SINCE, "CA", "Oakland")
VAT = TaxRate("vat", "VAT", "DE", d("0.19"), SINCE, inclusive=True)
BOOKS = TaxRate("books", "Reduced VAT", "DE", d("0.07"), SINCE, category="books", inclusive=True)


def taxed(customer: str, answer: TaxAnswer, books: TaxAnswer | None = None) -> list[dict[str, Any]]:
    """A base fee of 49.00, and calls at 0.01 each; books: how the calls are taxed, if otherwise."""
    fee = term(None, customer_id=customer, flat_amount=d(49), tax=answer.as_text())
    return [fee, term(customer_id=customer, tax=(books or answer).as_text())]


ADA = taxed("ada", TaxAnswer(rates=(STATE, CITY)))
BEA = taxed("bea", TaxAnswer(rates=(VAT,)), TaxAnswer(rates=(BOOKS,), category="books"))
CAI = taxed("cai", TaxAnswer("REVERSE_CHARGE", jurisdiction="FR", tax_id="FR123"))
DOV = taxed("dov", TaxAnswer("EXEMPT"))
EVE = taxed("eve", TaxAnswer(problem="NO_TAX_ANSWER: how customer eve is taxed: its country is not known"))
FAY = [term(None, customer_id="fay", flat_amount=d(49)), term(customer_id="fay")]
EVERYONE = (ADA, BEA, CAI, DOV, EVE, FAY)

INVOICES = {
    # 49.00 + 1,234 × 0.01 = 61.34. 7.25 % of it is 4.44715, so 4.45; 3 % is 1.8402, so 1.84. 61.34 + 4.45 + 1.84.
    "ada": ("61.34", "6.29", "67.63"),
    # 49.00 contains 49.00 × 19/119 = 7.8235…, so 7.82; 12.34 contains 12.34 × 7/107 = 0.8073, so 0.81. Without them
    # 41.18 + 11.53 = 52.71, with them what the prices say.
    "bea": ("52.71", "8.63", "61.34"),
    # The customer owes the tax itself; who is exempt owes none; a tenant without tax rates levies none.
    "cai": ("61.34", "0", "61.34"),
    "dov": ("61.34", "0", "61.34"),
    "fay": ("61.34", "0", "61.34"),
}
TAXES = [
    ("ada", "State tax", "61.34", "4.45"),
    ("ada", "City tax", "61.34", "1.84"),
    ("bea", "Reduced VAT", "11.53", "0.81"),
    ("bea", "VAT", "41.18", "7.82"),
    ("cai", "REVERSE_CHARGE", "61.34", "0"),
    ("dov", "EXEMPT", "61.34", "0"),
]
LINES = {
    # 4.45 by 49.00 to 12.34: 3.5548 and 0.8952, so 3.55 and 0.90. 1.84: 1.4698 and 0.3702, so 1.47 and 0.37.
    "ln_ada_base_fee": ("49.00", "5.02"),
    "ln_ada_api_calls": ("12.34", "1.27"),
    "ln_bea_base_fee": ("41.18", "7.82"),
    "ln_bea_api_calls": ("11.53", "0.81"),
}  # fmt: skip


@pytest.fixture(scope="module")
def made() -> dict[str, pl.DataFrame]:
    events = [(lines[1], 1234) for lines in EVERYONE]
    return run(metered_events=metered(*events), terms=terms(*(line for lines in EVERYONE for line in lines)))


def test_invoices_come_to_what_the_hand_computed(made: dict[str, pl.DataFrame]) -> None:
    sums = {
        name: sums
        for name, *sums in made["settlements"].select("customer_id", "subtotal", "tax", "total").rows()
    }
    assert sums == {name: [d(each) for each in expected] for name, expected in INVOICES.items()}


def test_taxes_are_shown_rate_by_rate(made: dict[str, pl.DataFrame]) -> None:
    found = invoice_taxes(made["routed_lines"]).sort("customer_id", "number")
    shown = found.select("customer_id", "name", "taxable", "tax").rows()
    assert shown == [(who, name, d(taxable), d(tax)) for who, name, taxable, tax in TAXES]
    assert found.filter(pl.col("customer_id") == "cai")["tax_id"].to_list() == ["FR123"]


def test_each_line_carries_its_share(made: dict[str, pl.DataFrame]) -> None:
    rows = made["routed_lines"].filter(pl.col("customer_id").is_in(["ada", "bea"]))
    shares = {line: (taxable, tax) for line, taxable, tax in rows.select("line_id", "taxable", "tax").rows()}
    assert shares == {line: (d(taxable), d(tax)) for line, (taxable, tax) in LINES.items()}


def test_who_is_not_known_to_be_taxed_how_is_held_and_nobody_else(made: dict[str, pl.DataFrame]) -> None:
    held = made["routed_lines"].filter(pl.col("destination") == "HELD")
    assert set(held["customer_id"]) == {"eve"}
    assert held["hold_reason"][0].startswith("NO_TAX_ANSWER")
