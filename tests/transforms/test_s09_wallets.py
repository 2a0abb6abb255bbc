"""Route and Settle where wallets pay: who pays what, in which order, and who must wait."""

from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transforms.billing_rows import DECEMBER, MID_NOVEMBER, d, grant, term, terms, wallets
from tests.transforms.test_s06_to_s10 import taxed
from transforms.s09_route import route
from transforms.s10_settle import settle


def billed(
    lines: list[tuple[dict[str, Any], int]], *grants: dict[str, Any]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    frozen = terms(*(line for line, _ in lines))
    routed = route(taxed_lines=taxed(*lines), terms=frozen, wallet_balances=wallets(*grants))
    return routed, settle(routed_lines=routed, terms=frozen)


@pytest.mark.parametrize(
    ("mode", "escrow", "balance", "wallet", "due"),
    [
        ("POSTPAID", None, 100, "0", "10"),
        ("HYBRID", None, 100, "10", "0"),
        ("HYBRID", None, 10, "10", "0"),
        ("HYBRID", None, 4, "4", "6"),
        ("HYBRID", None, 0, "0", "10"),
        ("PREPAID", "BLOCK", 10, "10", "0"),
        ("PREPAID", "ALERT", 4, "4", "6"),
    ],
)
def test_the_wallet_pays_what_the_mode_says(
    mode: str, escrow: str | None, balance: int, wallet: str, due: str
) -> None:
    line = term(billing_mode=mode, escrow=escrow)
    routed, settled = billed([(line, 1000)], grant("g", balance))
    assert settled.select("wallet_amount", "amount_due").row(0) == (d(wallet), d(due))
    assert routed["destination"].to_list() == ["WALLET" if due == "0" else "INVOICE"]


def test_a_prepaid_customer_without_funds_is_held_by_name_and_no_other() -> None:
    short, fine = term(billing_mode="PREPAID", escrow="BLOCK"), term(customer_id="c2")
    routed, settled = billed([(short, 1000), (fine, 1000)], grant("g", "9.99"))
    assert settled["customer_id"].to_list() == ["c2"]
    held = routed.filter(pl.col("destination") == "HELD").row(0, named=True)
    assert held["hold_reason"].startswith("PREPAID_FUNDS_SHORT: the wallet lacks 0.01 USD")
    assert (held["wallet_amount"], held["wallet_payments"]) == (None, None)


def test_grants_are_burned_in_their_order() -> None:
    routed, _ = billed([(term(billing_mode="HYBRID"), 1000)], grant("promo", 3), grant("cash", 20))
    assert routed["wallet_payments"][0].to_list() == [
        {"grant_id": "promo", "amount": d("3.0000")},
        {"grant_id": "cash", "amount": d("7.0000")},
    ]


def test_a_restricted_grant_pays_for_its_units_only() -> None:
    lines = [(term("a", billing_mode="HYBRID"), 500), (term("b", billing_mode="HYBRID"), 500)]
    routed, settled = billed(lines, grant("g", 20, units=["b"]))
    assert dict(routed.select("unit", "wallet_amount").iter_rows()) == {"a": d(0), "b": d(5)}
    assert settled["amount_due"].to_list() == [d(5)]


def test_an_unrestricted_grant_leaves_to_a_restricted_one_what_that_can_pay() -> None:
    lines = [(term("a", billing_mode="HYBRID"), 500), (term("b", billing_mode="HYBRID"), 500)]
    _, settled = billed(lines, grant("any", 5), grant("only_a", 5, units=["a"]))
    assert settled["amount_due"].to_list() == [d(0)]


@pytest.mark.parametrize(("expires_at", "paid"), [(DECEMBER, 10), (MID_NOVEMBER, 0), (None, 10)])
def test_a_grant_pays_for_periods_that_end_before_it_expires(expires_at: Any, paid: int) -> None:
    _, settled = billed([(term(billing_mode="HYBRID"), 1000)], grant("g", 50, expires_at=expires_at))
    assert settled["wallet_amount"].to_list() == [d(paid)]


def test_a_wallet_in_another_currency_pays_nothing() -> None:
    _, settled = billed([(term(billing_mode="HYBRID"), 1000)], grant("g", 50, currency="EUR"))
    assert settled["wallet_amount"].to_list() == [d(0)]


def test_postpaid_lines_beside_hybrid_ones_stay_on_the_invoice() -> None:
    lines = [(term("a", billing_mode="HYBRID"), 500), (term("b"), 500)]
    _, settled = billed(lines, grant("g", 50))
    assert settled.select("wallet_amount", "amount_due").row(0) == (d(5), d(5))


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(st.integers(0, 2000), st.sampled_from(["HYBRID", "POSTPAID"])), min_size=1, max_size=4
    ),
    st.lists(st.tuples(st.integers(0, 1500), st.sampled_from([None, ["u0"], ["u1", "u2"]])), max_size=4),
)
def test_wallet_and_invoice_make_the_total_and_no_grant_gives_more_than_it_has(
    usage: list[tuple[int, str]], held: list[tuple[int, list[str] | None]]
) -> None:
    lines = [(term(f"u{n}", billing_mode=mode), used) for n, (used, mode) in enumerate(usage)]
    grants = [grant(f"g{n}", d(cents) / 100, units=units) for n, (cents, units) in enumerate(held)]
    routed, settled = billed(lines, *grants)
    parts = [part for row in routed["wallet_payments"].drop_nulls() for part in row]
    for each in grants:
        assert (
            sum(part["amount"] for part in parts if part["grant_id"] == each["grant_id"]) <= each["available"]
        )
    total, wallet, due = settled.select("total", "wallet_amount", "amount_due").row(0)
    assert total == wallet + due and due >= 0 and wallet == sum(part["amount"] for part in parts)
