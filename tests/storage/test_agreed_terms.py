"""What is frozen besides prices, from the database to the invoice: tax, the customer's currency, what is left of a commitment."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal as D
from typing import Any

import polars as pl
import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.orm import Session

from domain.actor import SYSTEM
from storage.repositories.invoice_content import content_hash
from storage.repositories.invoice_states import as_dict, lines_of
from storage.repositories.invoices import settle
from storage.repositories.issued import issued_lines
from storage.repositories.terms import frozen_terms
from storage.scope import Scope
from storage.services.coupons import Coupons
from storage.tables.invoices import InvoiceRow
from storage.tables.taxes import FxRateRow, InvoiceTaxRow
from storage.tenancy import Tx
from tests.storage.worlds import applied
from tests.transforms.billing_rows import metered
from transforms.frames import BILLING_TERMS, INVOICE_LINES
from transforms.invoice_taxes import invoice_taxes
from transforms.pipeline import run

GERMANY = {"address": {"country": "DE"}}
VAT = {"id": "vat", "name": "VAT", "country": "DE", "ratePercent": 19, "validFrom": "2020-01-01"}
BOOKS = {
    "id": "books",
    "name": "Reduced",
    "country": "DE",
    "taxCategory": "books",
    "ratePercent": 7,
    "validFrom": "2020-01-01",
}


def world(
    customers: list[dict[str, Any]], *, plan: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    """Each customer subscribes to a plan of 20.00 and calls at 0.01 each, from 2026-01-01."""
    priced = {"key": "pro", "name": "Pro", "baseFee": 20, "metrics": [{"unit": "calls", "rate": "0.01"}]}
    offering = {"code": "pro", "ratePlan": "pro", **more.pop("offering", {})}
    starts = {"offering": "pro", "startDate": "2026-01-01"}
    return {
        "tenant": {"id": "acme", "currency": "USD", **more.pop("tenant", {})},
        "units": [{"key": "calls", "name": "Calls", "aggregation": "SUM"}],
        "ratePlans": [priced | (plan or {})],
        "offerings": [offering],
        "customers": customers,
        "subscriptions": [
            {"id": f"sub_{each['id']}", "customer": each["id"], **starts} for each in customers
        ],
        **more,
    }


def billed(session: Session, month: str, calls: int = 1000) -> dict[str, pl.DataFrame]:
    """The month's tables, its invoices written as drafts."""
    frozen = pl.DataFrame(frozen_terms(session, month=month), schema=BILLING_TERMS.schema)
    due = frozen.filter(pl.col("due"), pl.col("kind") == "USAGE").to_dicts()
    made = run(metered_events=metered(*((row, calls) for row in due)), terms=frozen)
    settle(session, made["settlements"], made["routed_lines"], scope=Scope(month=month))
    return made


def totals(made: dict[str, pl.DataFrame]) -> dict[str, tuple[str, D]]:
    return {
        who: (currency, total)
        for who, currency, total in made["settlements"].select("customer_id", "currency", "total").rows()
    }


def held(made: dict[str, pl.DataFrame]) -> dict[str, str]:
    rows = made["routed_lines"].filter(pl.col("destination") == "HELD")
    return dict(rows.select("customer_id", "hold_reason").unique().rows())


def rate(session: Session, day: str, value: str, pair: tuple[str, str] = ("USD", "EUR")) -> None:
    row = {
        "tenant_id": "acme",
        "id": f"fxr_{day}_{pair[1]}",
        "from_currency": pair[0],
        "to_currency": pair[1],
    }
    session.execute(insert(FxRateRow), {**row, "day": day, "rate": D(value)})


def test_customers_are_taxed_as_they_are_and_where_they_are(session: Session) -> None:
    """30.00 each: 5.70 of VAT, or none; nobody says where eve is."""
    exempt, reverse = {"status": "EXEMPT"}, {"status": "REVERSE_CHARGE", "taxId": "DE9"}
    customers = [
        {"id": "ann", **GERMANY}, {"id": "bob", "taxStatus": exempt}, {"id": "cai", "taxStatus": reverse},
        {"id": "dov", "taxStatus": {"country": "de"}}, {"id": "eve"}, {"id": "fay", "address": {"country": "FR"}},
    ]  # fmt: skip
    applied(session, world(customers, taxRates=[VAT]))
    made = billed(session, "2026-01")
    taxed, untaxed = ("USD", D("35.7")), ("USD", D(30))
    assert totals(made) == {"ann": taxed, "bob": untaxed, "cai": untaxed, "dov": taxed}
    reasons = held(made)
    assert reasons.keys() == {"eve", "fay"}
    assert "NO_TAX_ANSWER: how customer eve is taxed: its country is not known" in reasons["eve"]
    assert "no tax rate holds in FR on 2026-01-31" in reasons["fay"]


def test_a_tenant_without_tax_rates_bills_without_tax(session: Session) -> None:
    applied(session, world([{"id": "ann"}]))
    made = billed(session, "2026-01")
    assert totals(made) == {"ann": ("USD", D(30))}
    assert made["routed_lines"]["taxes"].null_count() == 2


def test_an_issuer_collects_tax_only_where_it_is_registered(session: Session) -> None:
    tenant = {"billingEntity": {"code": "de", "registeredIn": ["DE"]}}
    customers = [{"id": "ann", **GERMANY}, {"id": "fay", "address": {"country": "FR"}}]
    applied(session, world(customers, tenant=tenant, taxRates=[VAT]))
    assert totals(billed(session, "2026-01")) == {"ann": ("USD", D("35.7")), "fay": ("USD", D(30))}


def test_the_tax_category_of_a_unit_goes_before_that_of_the_plan(session: Session) -> None:
    """20.00 × 7 % = 1.40; 10.00 × 19 % = 1.90."""
    plan = {"taxCategory": "books", "metrics": [{"unit": "calls", "rate": "0.01", "taxCategory": "software"}]}
    applied(session, world([{"id": "ann", **GERMANY}], plan=plan, taxRates=[VAT, BOOKS]))
    taxes = invoice_taxes(billed(session, "2026-01")["routed_lines"])
    assert taxes.select("name", "category", "tax").rows() == [
        ("Reduced", "books", D("1.4")),
        ("VAT", "software", D("1.9")),
    ]


def test_the_taxes_of_an_invoice_are_kept_and_part_of_its_content(session: Session) -> None:
    applied(session, world([{"id": "ann", **GERMANY}], taxRates=[VAT]))
    made = billed(session, "2026-01")
    tax = session.scalars(select(InvoiceTaxRow)).one()
    assert (tax.number, tax.name, tax.jurisdiction, tax.taxable, tax.tax) == (1, "VAT", "DE", D(30), D("5.7"))
    invoice = session.scalars(select(InvoiceRow)).one()
    before = invoice.content_hash
    header = {**as_dict(invoice), "tenant_id": "acme", "invoice_id": invoice.id}
    assert content_hash(header, lines_of(session, invoice)) == before
    billed(session, "2026-01")
    session.expire_all()
    assert session.scalars(select(InvoiceRow)).one().content_hash == before
    session.execute(text("UPDATE invoices SET status = 'OPEN'"))
    issued = pl.DataFrame(issued_lines(session, Scope(month="2026-01")), schema=INVOICE_LINES.schema)
    assert invoice_taxes(issued)["tax"].to_list() == [D("5.7")]
    assert issued["taxes"].to_list() == made["routed_lines"]["taxes"].to_list()


def test_an_engine_of_another_maker_can_be_asked_instead(session: Session) -> None:
    from domain.tax import TaxAnswer, TaxQuestion

    class Nowhere:
        def answer(self, question: TaxQuestion) -> TaxAnswer | None:
            return TaxAnswer(problem=f"NO_TAX_ANSWER: asked about {question.customer_id}")

    applied(session, world([{"id": "ann"}]))
    rows = frozen_terms(session, month="2026-01", tax_engines={"acme": Nowhere()})
    assert all("asked about ann" in row["tax"] for row in rows)


def test_a_prepaid_commitment_is_drawn_down_from_bill_to_bill(session: Session) -> None:
    """70 a month of usage and fee: 500 − 30 − … Here 30 a month of 50: 30, then 20 and 10 to pay, then all of it."""
    plan = {"commitment": {"type": "PREPAID", "amount": 50}}
    applied(session, world([{"id": "ann"}], plan=plan))
    due = [totals(billed(session, month))["ann"][1] for month in ("2026-01", "2026-02", "2026-03")]
    assert due == [D(50), D(10), D(30)]
    again = [totals(billed(session, month))["ann"][1] for month in ("2026-02", "2026-01", "2026-03")]
    assert again == [D(10), D(50), D(30)]


def test_what_is_left_is_not_known_while_an_earlier_month_is_not_billed(session: Session) -> None:
    applied(session, world([{"id": "ann"}], plan={"commitment": {"type": "PREPAID", "amount": 50}}))
    billed(session, "2026-01")
    made = billed(session, "2026-03")
    assert "NO_EARLIER_BILL: what subscription sub_ann has left" in held(made)["ann"]
    assert "from 2026-02-01 is on no invoice" in held(made)["ann"]
    billed(session, "2026-02")
    assert totals(billed(session, "2026-03")) == {"ann": ("USD", D(30))}


def test_an_annual_commitment_is_trued_up_in_the_last_period_of_its_term(session: Session) -> None:
    """Four quarters of 60 + 10, committed 300: 20 more with the last."""
    document = world([{"id": "ann"}], plan={"commitment": {"type": "ANNUAL", "amount": 300}, "baseFee": 60})
    document["subscriptions"][0]["billingCycle"] = "QUARTERLY"
    applied(session, document)
    months = ("2026-03", "2026-06", "2026-09", "2026-12")
    assert [totals(billed(session, month))["ann"][1] for month in months] == [D(70), D(70), D(70), D(90)]


@pytest.mark.parametrize(("strategy", "total"), [("LOCK_AT_SUBSCRIPTION", "27"), ("LIVE_RATE", "24")])
def test_a_customer_is_billed_in_its_own_currency_at_the_rate_agreed(
    session: Session, strategy: str, total: str
) -> None:
    """30.00 at 0.9, or live at 0.80025: 16.005 and 8.0025, each line rounded once: 16.00 and 8.00."""
    applied(
        session, world([{"id": "ann", "currency": "EUR"}, {"id": "bob"}], offering={"fxStrategy": strategy})
    )
    rate(session, "2025-12-31", "0.9")
    rate(session, "2026-02-27", "0.80025")
    rate(session, "2026-03-01", "5")
    made = billed(session, "2026-02")
    assert totals(made) == {"ann": ("EUR", D(total)), "bob": ("USD", D(30))}
    line = made["routed_lines"].filter(pl.col("customer_id") == "ann").row(0, named=True)
    assert (line["unrounded"], line["price_currency"], line["currency"]) == (D(20), "USD", "EUR")


def test_without_an_exchange_rate_the_customer_is_held_and_nobody_else(session: Session) -> None:
    applied(
        session,
        world([{"id": "ann", "currency": "EUR"}, {"id": "bob"}], offering={"fxStrategy": "LIVE_RATE"}),
    )
    rate(session, "2025-11-30", "0.9")
    made = billed(session, "2026-01")
    assert totals(made) == {"bob": ("USD", D(30))}
    assert "NO_EXCHANGE_RATE: customer ann is billed in EUR, its plan is priced in USD" in held(made)["ann"]


def test_what_a_plan_agrees_on_in_its_currency_is_converted_with_it(session: Session) -> None:
    """A minimum of 50 USD at 160 yen: 8,000, for 3,200 + 1,600 of charges."""
    applied(session, world([{"id": "ann", "currency": "JPY"}], plan={"minimumSpend": 50}))
    rate(session, "2026-01-01", "160", ("USD", "JPY"))
    made = billed(session, "2026-01")
    assert totals(made) == {"ann": ("JPY", D(8000))}
    assert made["rated_lines"]["amount"].to_list() == [D(3200), D(1600)]


def test_a_discounted_fee_that_comes_back_is_what_its_bill_charged(session: Session) -> None:
    """20.00 in advance, less a quarter: 15.00 for February, of which half comes back, also where the coupon has ended by then."""
    coupon = {
        "code": "Q",
        "name": "Q",
        "discountType": "PERCENTAGE",
        "discountValue": "0.25",
        "duration": "ONCE",
    }
    plan = {"baseFeeTiming": "ADVANCE"}
    applied(session, world([{"id": "ann"}], plan=plan, coupons=[coupon]))
    tx = Tx(session, "acme", SYSTEM, datetime(2026, 1, 2, tzinfo=UTC))
    Coupons(tx).redeem("ann", {"code": "Q", "subscriptionId": "sub_ann"})
    session.execute(
        text("UPDATE subscriptions SET end_date = '2026-02-15', ends_at = '2026-02-15T00:00:00Z'")
    )
    assert held(billed(session, "2026-02", calls=0))["ann"].startswith(
        "NO_EARLIER_BILL: what subscription sub_ann paid ahead"
    )
    assert totals(billed(session, "2026-01", calls=0)) == {"ann": ("USD", D(30))}
    made = billed(session, "2026-02", calls=0)
    assert (held(made), totals(made)) == ({}, {"ann": ("USD", D("-7.5"))})
