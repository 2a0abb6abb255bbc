"""Discount: what coupons take off the lines of a subscription's period."""

from decimal import Decimal
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.coupon import Discount
from tests.transforms.billing_rows import MID_NOVEMBER, NOVEMBER, d, metered, term, terms
from transforms.frames import DISCOUNTED_LINES
from transforms.pipeline import run

TENTH = Discount("TENTH", "PERCENTAGE", d("0.1")).as_text()
FIVE = Discount("FIVE", "FIXED_AMOUNT", d(5), "USD").as_text()


def billed(*lines: tuple[dict[str, Any], str | int]) -> dict[str, pl.DataFrame]:
    frozen = terms(*(line for line, _ in lines))
    return run(metered_events=metered(*((line, used) for line, used in lines if line["unit"])), terms=frozen)


def discounts(made: dict[str, pl.DataFrame]) -> dict[str, Decimal]:
    return dict(made["discounted_lines"].select("line_id", "discount").iter_rows())


def test_without_coupons_nothing_is_taken_off() -> None:
    made = billed((term("a"), 500))
    assert made["discounted_lines"].schema == pl.Schema(DISCOUNTED_LINES.schema)
    assert discounts(made) == {"ln_c1_a": d(0)}


def test_coupons_act_one_after_the_other_in_order_of_attachment() -> None:
    """100: five off is 95, a tenth of that 9.50. The other way round a tenth of 100 is 10, and five off the rest."""
    first = billed((term("a", coupons=[FIVE, TENTH]), 10_000))
    other = billed((term("a", coupons=[TENTH, FIVE]), 10_000))
    assert discounts(first) == {"ln_c1_a": d("14.50")}
    assert discounts(other) == {"ln_c1_a": d("15.00")}


def test_a_discount_is_shared_out_by_largest_remainder() -> None:
    """A tenth of 0.30 is 0.03; of three equal lines each bears a cent. Of 0.50 in five, too."""
    three = [term(unit, coupons=[TENTH], rate=d("0.1")) for unit in "abc"]
    assert set(discounts(billed(*((line, 1) for line in three))).values()) == {d("0.01")}
    uneven = [(term("a", coupons=[FIVE]), 1000), (term("b", coupons=[FIVE]), 2000)]
    assert discounts(billed(*uneven)) == {"ln_c1_a": d("1.67"), "ln_c1_b": d("3.33")}


def test_an_amount_is_taken_off_once_a_period_and_never_below_zero() -> None:
    lines = [(term("a", coupons=[FIVE]), 100), (term(None, flat_amount=d(3), coupons=[FIVE]), 0)]
    made = billed(*lines)
    assert made["settlements"].select("subtotal", "discount", "total").row(0) == (d(4), d(4), d(0))


def test_a_coupon_acts_on_its_own_subscription_only() -> None:
    made = billed((term("a", coupons=[FIVE]), 1000), (term("b", subscription_id="other"), 1000))
    assert discounts(made) == {"ln_c1_a": d(5), "ln_c1_b": d(0)}


def test_each_currency_rounds_to_its_own_minor_unit() -> None:
    yen = term("a", coupons=[TENTH], currency="JPY", exponent=0, rate=d(1))
    assert discounts(billed((yen, 25))) == {"ln_c1_a": d(2)}


def test_a_coupon_in_another_currency_holds_the_customer_with_the_reason() -> None:
    euros = Discount("EURO", "FIXED_AMOUNT", d(5), "EUR").as_text()
    made = billed((term("a", coupons=[euros]), 1000), (term("a", customer_id="c2"), 1000))
    held = made["routed_lines"].filter(pl.col("destination") == "HELD").row(0, named=True)
    assert held["customer_id"] == "c1"
    assert "COUPON_CURRENCY: coupon EURO takes off EUR" in held["hold_reason"]
    assert made["settlements"]["customer_id"].to_list() == ["c2"]


@settings(max_examples=25, deadline=None)
@given(
    used=st.lists(st.integers(0, 10**7), min_size=1, max_size=6),
    coupons=st.lists(
        st.one_of(
            st.integers(1, 100).map(lambda n: Discount(f"P{n}", "PERCENTAGE", Decimal(n) / 100)),
            st.integers(1, 10**6).map(lambda n: Discount(f"F{n}", "FIXED_AMOUNT", Decimal(n) / 100, "USD")),
        ),
        max_size=4,
    ),
)
def test_line_discounts_sum_to_the_invoices_and_no_total_falls_below_zero(
    used: list[int], coupons: list[Discount]
) -> None:
    texts = [coupon.as_text() for coupon in coupons]
    made = billed(*((term(f"u{at}", coupons=texts), quantity) for at, quantity in enumerate(used)))
    settled = made["settlements"].row(0, named=True)
    assert made["discounted_lines"]["discount"].sum() == settled["discount"]
    assert 0 <= settled["discount"] <= settled["subtotal"]
    assert settled["total"] == settled["subtotal"] - settled["discount"] >= 0
    assert made["discounted_lines"].filter(~DISCOUNTED_LINES.rules[1].holds).is_empty()


def test_a_fee_that_comes_back_is_what_was_charged_and_no_coupon_acts_on_it() -> None:
    """A tenth of 100, although 7 come back: 90 − 7 = 83. A coupon named by the credit alone acts on nothing."""
    half = {"period_start": NOVEMBER, "active_end": MID_NOVEMBER}
    back = term(
        None, kind="FEE_CREDIT", line_id="ln_back", line_order=0, flat_amount=d(14), coupons=[FIVE], **half
    )
    for coupons, taken in (([TENTH], d(10)), ([], d(0))):
        made = billed((back, 0), (term("a", coupons=coupons), 10_000))
        assert discounts(made) == {"ln_back": d(0), "ln_c1_a": taken}
        assert made["settlements"]["total"].to_list() == [100 - taken - 7]
