"""Money rounds, allocates and prorates exactly."""

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.money import (
    NothingToAllocateBy,
    UnknownCurrency,
    UnknownRounding,
    allocate,
    currency_exponent,
    prorate,
    round_money,
)

D = Decimal


@pytest.mark.parametrize(
    ("currency", "exponent"), [("USD", 2), ("EUR", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4), ("UGX", 0)]
)
def test_a_currency_has_its_iso_4217_exponent(currency: str, exponent: int) -> None:
    assert currency_exponent(currency) == exponent


@pytest.mark.parametrize("code", ["usd", "XXX", "US", ""])
def test_an_unknown_currency_is_an_error_not_two_places(code: str) -> None:
    with pytest.raises(UnknownCurrency, match="ISO 4217"):
        currency_exponent(code)


@pytest.mark.parametrize(
    ("amount", "mode", "rounded"),
    [
        ("0.125", "HALF_EVEN", "0.12"),
        ("0.135", "HALF_EVEN", "0.14"),
        ("-0.125", "HALF_EVEN", "-0.12"),
        ("0.125", "HALF_UP", "0.13"),
        ("-0.125", "HALF_UP", "-0.13"),
        ("0.125000000000000000001", "HALF_EVEN", "0.13"),
        ("99999999999999999999999999999.995", "HALF_EVEN", "100000000000000000000000000000.00"),
    ],
)
def test_ties_round_as_the_mode_says(amount: str, mode: str, rounded: str) -> None:
    assert round_money(D(amount), 2, mode) == D(rounded)


def test_yen_have_no_places_and_dinars_three() -> None:
    assert (round_money(D("2.5"), 0), round_money(D("0.0625"), 3)) == (D(2), D("0.062"))


def test_an_unknown_rounding_mode_is_refused() -> None:
    with pytest.raises(UnknownRounding, match="HALF_EVEN, HALF_UP"):
        round_money(D(1), 2, "DOWN")


def test_remainders_go_to_whoever_lost_most_and_ties_to_the_lowest_index() -> None:
    assert allocate(D("100.00"), [D(1), D(1), D(1)]) == [D("33.34"), D("33.33"), D("33.33")]
    assert allocate(D("0.05"), [D(3), D(7)]) == [D("0.02"), D("0.03")]  # 1.5 and 3.5 cents: a tie
    assert allocate(D("10"), [D("0.1"), D("0.2")], exponent=0) == [D(3), D(7)]
    assert allocate(D("-1.00"), [D(1), D(2)]) == [D("-0.33"), D("-0.67")]


@given(
    cents=st.integers(-(10**14), 10**14),
    weights=st.lists(st.decimals(0, 10**6, places=4), min_size=1, max_size=12).filter(lambda w: sum(w) > 0),
)
def test_shares_add_up_and_none_is_a_cent_off_its_due(cents: int, weights: list[Decimal]) -> None:
    total = D(cents) / 100
    shares = allocate(total, weights)
    assert sum(shares) == total
    assert all(
        abs(share - total * weight / sum(weights)) < D("0.01") + D("1e-9")
        for share, weight in zip(shares, weights, strict=True)
    )


@pytest.mark.parametrize("weights", [[], [D(0), D(0)], [D(1), D(-1)], [D(2), D(-1)]])
def test_nothing_is_allocated_by_weights_that_share_nothing(weights: list[Decimal]) -> None:
    with pytest.raises(NothingToAllocateBy):
        allocate(D(1), weights)


def test_half_a_month_costs_half_by_elapsed_time() -> None:
    assert prorate(D("49.00"), timedelta(days=15), timedelta(days=30)) == D("24.5")
    assert prorate(D("10"), timedelta(seconds=1), timedelta(seconds=3)) == D("3.333333333333333333333")
