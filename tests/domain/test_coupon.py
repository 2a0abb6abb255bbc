"""What a coupon takes off, from which lines, and in which periods."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.catalog.fields import Fields
from domain.coupon import Discount, applies_during, line_discounts, read_coupon, take_off
from domain.period import Schedule

D = Decimal
TENTH = Discount("TENTH", "PERCENTAGE", D("0.10"))
FIVE = Discount("FIVE", "FIXED_AMOUNT", D(5), "USD")
SENT = {"code": "X", "name": "X", "discountType": "PERCENTAGE", "discountValue": "0.10", "duration": "ONCE"}
ONCE = read_coupon(Fields(SENT, ""))
MONTHLY = Schedule(date(2024, 1, 31), "MONTHLY", 31, "UTC")

amounts = st.lists(st.integers(-(10**8), 10**10).map(lambda cents: D(cents) / 100), min_size=1, max_size=8)
discounts = st.lists(
    st.one_of(
        st.integers(1, 1000).map(lambda n: Discount("P", "PERCENTAGE", D(n) / 1000)),
        st.integers(1, 10**9).map(lambda n: Discount("F", "FIXED_AMOUNT", D(n) / 100, "USD")),
    ),
    max_size=5,
)


def day(year: int, month: int, of_month: int, hour: int = 0) -> datetime:
    return datetime(year, month, of_month, hour, tzinfo=UTC)


@pytest.mark.parametrize(
    ("discount", "subtotal", "taken"),
    [
        (TENTH, "100", "10.00"),
        (TENTH, "0.25", "0.02"),
        (TENTH, "0.35", "0.04"),
        (FIVE, "100", "5.00"),
        (FIVE, "3.99", "3.99"),
        (FIVE, "0", "0"),
        (TENTH, "-20", "0"),
        (Discount("ALL", "PERCENTAGE", D(1)), "12.34", "12.34"),
    ],
)
def test_a_discount_stays_between_nothing_and_the_subtotal(
    discount: Discount, subtotal: str, taken: str
) -> None:
    assert take_off(discount, D(subtotal), exponent=2) == D(taken)


@given(amounts=amounts, coupons=discounts)
def test_line_discounts_add_up_to_what_each_coupon_takes_off(
    amounts: list[Decimal], coupons: list[Discount]
) -> None:
    taken = line_discounts(amounts, coupons, exponent=2)
    subtotal, total = sum(amounts, D(0)), D(0)
    for coupon in coupons:
        total += take_off(coupon, subtotal - total, exponent=2)
    assert sum(taken) == total
    assert all(0 <= each <= max(amount, D(0)) for each, amount in zip(taken, amounts, strict=True))
    assert subtotal - total >= min(subtotal, D(0))


def test_once_is_the_period_of_the_redemption() -> None:
    assert applies_during(ONCE, MONTHLY, day(2024, 3, 15)) == (day(2024, 2, 29), day(2024, 3, 31))


def test_repeating_counts_months_from_the_period_of_the_redemption() -> None:
    three = replace(ONCE, duration="REPEATING", duration_in_months=3)
    assert applies_during(three, MONTHLY, day(2024, 1, 31)) == (day(2024, 1, 31), day(2024, 4, 30))


def test_a_longer_cycle_is_discounted_whole_where_it_starts_in_the_months() -> None:
    quarters = Schedule(date(2024, 1, 1), "QUARTERLY", 1, "UTC")
    for months, until in ((1, day(2024, 2, 1)), (4, day(2024, 5, 1))):
        repeating = replace(ONCE, duration="REPEATING", duration_in_months=months)
        assert applies_during(repeating, quarters, day(2024, 2, 10)) == (day(2024, 1, 1), until)


def test_forever_has_no_end() -> None:
    forever = replace(ONCE, duration="FOREVER")
    assert applies_during(forever, MONTHLY, day(2024, 3, 15)) == (day(2024, 2, 29), None)


def test_a_discount_survives_being_written_down() -> None:
    assert Discount.from_text(FIVE.as_text()) == FIVE
    assert Discount.from_text(TENTH.as_text()) == TENTH
