"""However often a month is billed in between, all its invoices together are what one bill would have been, to the cent of each tax."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.coupon import Discount
from domain.tax import TaxAnswer, TaxRate
from tests.transforms.billing_rows import MID_NOVEMBER, NOVEMBER, d, metered, term, terms, tiers
from transforms.interim_bill import accrued_lines, interim_invoice, since
from transforms.interim_lines import given_back
from transforms.invoice_taxes import invoice_taxes
from transforms.pipeline import run

SINCE = date(2023, 1, 1)
TAXED = TaxAnswer(
    rates=(
        TaxRate("state", "State tax", "US", d("0.0725"), SINCE, "CA"),
        TaxRate("city", "City tax", "US", d("0.03"), SINCE, "CA", "Oakland"),
    )
)
INSIDE = TaxAnswer(rates=(TaxRate("vat", "VAT", "DE", d("0.19"), SINCE, inclusive=True),), category="books")
BANDS = tiers((100, "0.1", 1), (1000, "0.05", 2), (None, "0.01"))
PRICES: list[dict[str, Any]] = [
    {"rate": d("0.0333")},
    {"model": "INCLUDED_QUOTA", "rate": d("0.7"), "block_size": d(7), "included_free": d(50)},
    {"model": "GRADUATED", "tiers": BANDS},
    {"model": "VOLUME_TIERED", "tiers": BANDS},
    {"model": "PERCENTAGE", "rate": d("0.025"), "min_fee": d(2), "aggregation": "MAX"},
]
TEN_OFF = Discount("TEN", "PERCENTAGE", d(10))
EVENTS = st.lists(
    st.tuples(st.integers(0, len(PRICES) - 1), st.decimals("0.1", "500", places=3)), max_size=25
)


def month(minimum: Decimal | None, maximum: Decimal | None, coupon: bool) -> list[dict[str, Any]]:
    agreed = {
        "minimum_spend": minimum,
        "maximum_spend": maximum,
        "coupons": [TEN_OFF.as_text()] if coupon else [],
    }
    usage = [
        term(f"unit_{place}", line_order=place + 1, tax=(INSIDE if place == 1 else TAXED).as_text(), **price)
        for place, price in enumerate(PRICES)
    ]
    fee = term(None, flat_amount=d("49.00"), tax=TAXED.as_text())
    return [row | agreed for row in (fee, *usage)]


def figures(*lines: pl.DataFrame) -> tuple[Decimal, dict[str, Decimal], dict[str, Decimal]]:
    """What invoices come to, and of each tax what it is levied on and what it is."""
    total, bases, taxes = Decimal(0), {}, {}
    for each in lines:
        total += sum((each["taxable"] + each["tax"]).to_list(), Decimal(0))
        for row in invoice_taxes(each).iter_rows(named=True):
            bases[row["name"]] = bases.get(row["name"], Decimal(0)) + row["taxable"]
            taxes[row["name"]] = taxes.get(row["name"], Decimal(0)) + row["tax"]
    return total, bases, taxes


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(
    EVENTS,
    st.lists(st.integers(0, 25), min_size=1, max_size=4),
    st.sampled_from([None, d(500), d(100_000)]),
    st.sampled_from([None, d(30), d(200)]),
    st.booleans(),
)
def test_interim_invoices_and_the_closing_bill_are_one_bill(
    events: list[tuple[int, Decimal]],
    cuts: list[int],
    minimum: Decimal | None,
    maximum: Decimal | None,
    coupon: bool,
) -> None:
    rows = month(minimum if maximum is None else None, maximum, coupon)
    usage = [(rows[1 + place], str(quantity)) for place, quantity in events]
    whole = run(metered_events=metered(*usage), terms=terms(*rows))["routed_lines"]
    so_far = terms(*(row | {"minimum_spend": None} for row in rows))
    interim: list[pl.DataFrame] = []
    back: list[dict[str, Any]] = []
    for number, cut in enumerate(sorted(cuts)):
        made = run(metered_events=metered(*usage[:cut]), terms=so_far)
        accrued = accrued_lines(made["discounted_lines"], so_far, "sub_c1", NOVEMBER)
        before: dict[str, tuple[Decimal, Decimal, int]] = {}
        for line in (
            pl.concat([each.select("line_id", "amount") for each in interim]).rows() if interim else ()
        ):
            before[line[0]] = (before.get(line[0], (Decimal(0),))[0] + line[1], Decimal(0), 0)
        lines = since(accrued, before, MID_NOVEMBER + timedelta(hours=number))
        interim.append(interim_invoice(lines, so_far, f"inv_{number}"))
        back += given_back(interim[-1].to_dicts(), rows[1], f"int_{number}", "Billed already")
    closing = run(metered_events=metered(*usage), terms=terms(*rows, *back))["routed_lines"]
    assert closing["problem"].null_count() == closing.height
    assert figures(*interim, closing) == figures(whole)
