"""Each stage at its bounds: just below, at, and just above what changes its answer. Hard caps, aggregations and wallets have such
tables in test_hard_caps, test_s03_aggregate and test_s09_wallets."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest

from domain.coupon import Discount
from domain.tax import TaxAnswer, TaxRate
from tests.transforms.billing_rows import (
    DECEMBER,
    NOVEMBER,
    aggregates,
    d,
    grant,
    metered,
    term,
    terms,
    used,
    wallets,
)
from transforms.frames import ROLLOVERS
from transforms.pipeline import run
from transforms.s04_allowance import allowance

CENT = {"rate": d("0.01")}
SECOND = timedelta(seconds=1)


def made(*lines: tuple[dict[str, Any], str | int], **more: Any) -> dict[str, pl.DataFrame]:
    usage = metered(*((line, quantity) for line, quantity in lines if line["unit"]))
    return run(metered_events=usage, terms=terms(*(line for line, _ in lines)), **more)


def coupon(kind: str, value: str) -> str:
    return Discount("C", kind, d(value), "USD" if kind == "FIXED_AMOUNT" else None).as_text()


@pytest.mark.parametrize(
    ("free", "carried", "value", "included", "billable", "unused"),
    [
        (100, 20, "0", "0", "0", "100"),
        (100, 20, "19.5", "19.5", "0", "100"),
        (100, 20, "20", "20", "0", "100"),
        (100, 20, "20.000000001", "20.000000001", "0", "99.999999999"),
        (100, 20, "120", "120", "0", "0"),
        (100, 20, "120.000000001", "120", "0.000000001", "0"),
        (0, 20, "21", "20", "1", "0"),
        (100, 0, "100", "100", "0", "0"),
    ],
)
def test_what_was_carried_in_goes_first_and_what_is_free_after_it(
    free: int, carried: int, value: str, included: str, billable: str, unused: str
) -> None:
    """Rollover and Allowance."""
    line = term(included_free=d(free), rollover=True)
    rolled = pl.DataFrame(
        [{**{name: line.get(name) for name in ROLLOVERS.schema}, "carried": d(carried), "problem": None}],
        schema=ROLLOVERS.schema,
    )
    row = allowance(usage_aggregates=aggregates(used(line, value)), rollovers=rolled, terms=terms(line)).row(
        0, named=True
    )
    assert (row["included"], row["billable"], row["unused"]) == (d(included), d(billable), d(unused))


@pytest.mark.parametrize(
    ("least", "most", "used_up", "adjusted"),
    [
        ("10", None, 999, "0.01"),
        ("10", None, 1000, "0"),
        ("10", None, 1001, "0"),
        ("10", None, 0, "10"),
        (None, "10", 999, "0"),
        (None, "10", 1000, "0"),
        (None, "10", 1001, "-0.01"),
        ("10", "10", 0, "10"),
        ("10", "10", 5000, "-40"),
        ("0", None, 0, "0"),
        (None, "0", 500, "-5"),
    ],
)
def test_spend_is_topped_up_to_its_minimum_and_cut_to_its_maximum(
    least: str | None, most: str | None, used_up: int, adjusted: str
) -> None:
    """Commit."""
    agreed = {"minimum_spend": least and d(least), "maximum_spend": most and d(most)}
    lines = made((term(**CENT, **agreed), used_up))["committed_lines"]
    assert lines["commit_adjustment"].to_list() == [d(adjusted)]


@pytest.mark.parametrize(
    ("live", "least"),
    [
        (DECEMBER - NOVEMBER, "30"),
        (timedelta(days=15), "15"),
        (timedelta(days=1), "1"),
        # 30 × 1 / 2,592,000 s = 0.0000115…
        (SECOND, "0"),
        # 30 × 432 / 2,592,000 = 0.005, a tie to the even cent; a second more is above it.
        (432 * SECOND, "0"),
        (433 * SECOND, "0.01"),
        # 30 × 1,296 / 2,592,000 = 0.015, the other way.
        (1296 * SECOND, "0.02"),
    ],
)
def test_a_part_of_a_period_owes_its_part_of_a_minimum_to_the_second(live: timedelta, least: str) -> None:
    """Commit."""
    line = term(**CENT, minimum_spend=d(30), active_end=NOVEMBER + live)
    assert made((line, 0))["committed_lines"]["commit_adjustment"].to_list() == [d(least)]


@pytest.mark.parametrize(
    ("kind", "value", "used_up", "taken"),
    [
        ("PERCENTAGE", "0.10", 1000, "1.00"),
        ("PERCENTAGE", "0", 1000, "0"),
        ("PERCENTAGE", "1", 1000, "10.00"),
        # A tenth of 0.05 is 0.005, of 0.15 0.015: ties to the even cent.
        ("PERCENTAGE", "0.10", 5, "0"),
        ("PERCENTAGE", "0.10", 15, "0.02"),
        ("FIXED_AMOUNT", "5", 499, "4.99"),
        ("FIXED_AMOUNT", "5", 500, "5"),
        ("FIXED_AMOUNT", "5", 501, "5"),
        ("FIXED_AMOUNT", "5", 0, "0"),
    ],
)
def test_a_discount_is_from_nothing_to_all_there_is(kind: str, value: str, used_up: int, taken: str) -> None:
    """Discount."""
    lines = made((term(**CENT, coupons=[coupon(kind, value)]), used_up))["discounted_lines"]
    assert lines["discount"].to_list() == [d(taken)]


def rate(percent: str, *, inclusive: bool = False) -> TaxAnswer:
    return TaxAnswer(rates=(TaxRate("r", "VAT", "DE", d(percent), date(2023, 1, 1), inclusive=inclusive),))


@pytest.mark.parametrize(
    ("answer", "used_up", "taxable", "tax"),
    [
        (rate("0.19"), 0, "0", "0"),
        (rate("0.19"), 1000, "10.00", "1.90"),
        # 0.25 × 0.10 = 0.025 and 0.35 × 0.10 = 0.035: ties to the even cent.
        (rate("0.10"), 25, "0.25", "0.02"),
        (rate("0.10"), 35, "0.35", "0.04"),
        (rate("0"), 1000, "10.00", "0"),
        (rate("1"), 1000, "10.00", "10.00"),
        # 10.00 contains 10 × 19 / 119 = 1.5966…; a cent contains nothing that could be paid.
        (rate("0.19", inclusive=True), 1000, "8.40", "1.60"),
        (rate("0.19", inclusive=True), 1, "0.01", "0"),
        (TaxAnswer("EXEMPT"), 1000, "10.00", "0"),
        (TaxAnswer("REVERSE_CHARGE", jurisdiction="FR", tax_id="FR1"), 1000, "10.00", "0"),
    ],
)
def test_tax_is_rounded_once_on_top_of_the_price_or_inside_it(
    answer: TaxAnswer, used_up: int, taxable: str, tax: str
) -> None:
    """Tax."""
    lines = made((term(**CENT, tax=answer.as_text()), used_up))["taxed_lines"]
    assert lines.select("taxable", "tax").rows() == [(d(taxable), d(tax))]


@pytest.mark.parametrize(
    ("mode", "balance", "used_up", "destination", "wallet", "due"),
    [
        ("POSTPAID", "100", 1000, "INVOICE", "0", "10"),
        ("HYBRID", "9.99", 1000, "INVOICE", "9.99", "0.01"),
        ("HYBRID", "10", 1000, "WALLET", "10", "0"),
        ("HYBRID", "10.01", 1000, "WALLET", "10", "0"),
        # Nothing to pay: nothing is taken, wherever from.
        ("HYBRID", "10", 0, "INVOICE", "0", "0"),
        ("PREPAID", "10", 0, "INVOICE", "0", "0"),
        ("PREPAID", "10", 1000, "WALLET", "10", "0"),
        ("PREPAID", "9.99", 1000, "HELD", None, None),
        ("PREPAID", "0", 1000, "HELD", None, None),
    ],
)
def test_wallet_and_invoice_share_the_total_or_the_customer_is_held(
    mode: str, balance: str, used_up: int, destination: str, wallet: str | None, due: str | None
) -> None:
    """Route and Settle."""
    line = term(**CENT, billing_mode=mode, escrow="BLOCK")
    found = made((line, used_up), wallet_balances=wallets(grant("g", balance)))
    assert found["routed_lines"]["destination"].to_list() == [destination]
    settled = found["settlements"].select("wallet_amount", "amount_due").rows()
    assert settled == ([] if wallet is None else [(d(wallet), d(str(due)))])


@pytest.mark.parametrize(
    ("amounts", "currency", "invoices"),
    [
        (("10.00", "-4.00"), ("USD", "USD"), [("6.00", 2)]),
        (("10.00", "-10.00"), ("USD", "USD"), [("0", 2)]),
        (("0", "0"), ("USD", "USD"), [("0", 2)]),
        (("10.00", "5"), ("USD", "JPY"), [("5", 1), ("10.00", 1)]),
    ],
)
def test_an_invoice_is_the_sum_of_its_lines_also_where_they_cancel_out(
    amounts: tuple[str, str], currency: tuple[str, str], invoices: list[tuple[str, int]]
) -> None:
    """Settle. A credit is of a fee paid in advance: for no time of the period it was live."""
    first, second = (
        term(
            None, line_id=f"ln_{place}", flat_amount=d(amount), currency=of, exponent=0 if of == "JPY" else 2
        )
        | (
            {"kind": "FEE_CREDIT", "flat_amount": -d(amount), "active_end": NOVEMBER + SECOND}
            if "-" in amount
            else {}
        )
        for place, (amount, of) in enumerate(zip(amounts, currency, strict=True))
    )
    settled = made((first, 0), (second, 0))["settlements"].sort("currency")
    assert settled.select("total", "lines").rows() == [(d(total), lines) for total, lines in invoices]
