"""Tax: which rates hold, and what they come to."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.catalog.details import Address
from domain.catalog.fields import FieldProblem, Fields
from domain.catalog.tax_rates import clash, read_tax_rate, written_tax_rate
from domain.tax import TaxAnswer, TaxQuestion, TaxRate, TaxTable, line_taxes, share_signed

D = Decimal
SINCE = date(2023, 1, 1)


def rate(name: str, percent: str, country: str = "DE", **given: Any) -> TaxRate:
    return TaxRate(f"txr_{name}", name, country, D(percent) / 100, SINCE, **given)


VAT = rate("VAT", "19")
REDUCED = rate("Reduced", "7", category="books")
STATE = rate("State", "6", "US", region="CA")
CITY = rate("City", "2.5", "US", region="CA", city="Oakland")
RATES = (VAT, REDUCED, STATE, CITY)


def asked(**given: Any) -> TaxQuestion:
    place = Address(
        country=given.pop("country", "DE"), region=given.pop("region", None), city=given.pop("city", None)
    )
    return TaxQuestion("ann", given.pop("day", date(2023, 11, 30)), place=given.pop("place", place), **given)


def names(answer: TaxAnswer | None) -> list[str]:
    assert answer is not None
    return [each.name for each in answer.rates]


@pytest.mark.parametrize(
    ("question", "found"),
    [
        (asked(), ["VAT"]),
        (asked(category="books"), ["Reduced"]),
        (asked(category="toys"), ["VAT"]),
        (asked(country="US", region="CA"), ["State"]),
        (asked(country="US", region="ca", city="oakland"), ["State", "City"]),
    ],
)  # fmt: skip
def test_at_each_level_the_rates_of_the_category_hold_or_else_those_of_everything(
    question: TaxQuestion, found: list[str]
) -> None:
    assert names(TaxTable(RATES).answer(question)) == found


@pytest.mark.parametrize(
    ("question", "why"),
    [
        (asked(place=None), "its country is not known"),
        (asked(country=None), "its country is not known"),
        (asked(country="FR"), "no tax rate holds in FR on 2023-11-30 for things of no category"),
        (asked(country="US", region="NY", category="books"), "no tax rate holds in US-NY on 2023-11-30 for books"),
        (asked(day=date(2022, 12, 31)), "no tax rate holds in DE on 2022-12-31"),
    ],
)  # fmt: skip
def test_what_is_not_known_is_a_problem_and_never_no_tax(question: TaxQuestion, why: str) -> None:
    answer = TaxTable(RATES).answer(question)
    assert answer is not None and answer.problem is not None
    assert answer.problem.startswith("NO_TAX_ANSWER: how customer ann is taxed: ")
    assert why in answer.problem


def test_a_tenant_without_rates_taxes_nothing() -> None:
    assert TaxTable(()).answer(asked(place=None)) is None


def test_who_is_exempt_or_owes_the_tax_itself_needs_no_rate() -> None:
    table = TaxTable(RATES)
    exempt, reverse = asked(country="FR", status="EXEMPT"), asked(status="REVERSE_CHARGE", tax_id="DE1")
    assert table.answer(exempt) == TaxAnswer("EXEMPT", jurisdiction="FR")
    assert table.answer(reverse) == TaxAnswer("REVERSE_CHARGE", jurisdiction="DE", tax_id="DE1")


def test_tax_is_collected_only_where_the_issuer_is_registered() -> None:
    table = TaxTable(RATES)
    here = {"registered_in": ("DE", "US-CA")}
    assert names(table.answer(asked(**here))) == ["VAT"]
    assert names(table.answer(asked(country="US", region="CA", **here))) == ["State"]
    elsewhere = table.answer(asked(country="US", region="NY", **here))
    assert elsewhere == TaxAnswer("NOT_REGISTERED", jurisdiction="US-NY")


def test_a_rate_holds_from_its_first_day_to_the_day_before_its_end() -> None:
    old = TaxRate("a", "VAT", "DE", D("0.16"), SINCE, valid_until=date(2023, 12, 1))
    new = TaxRate("b", "VAT", "DE", D("0.19"), date(2023, 12, 1))
    table = TaxTable((old, new))
    found = [table.answer(asked(day=day)) for day in (date(2023, 11, 30), date(2023, 12, 1))]
    assert [answer.rates for answer in found if answer] == [(old,), (new,)]
    assert not clash(old, new)
    assert clash(old, TaxRate("c", "vat", "DE", D(0), date(2023, 11, 30)))


def test_an_answer_survives_being_frozen() -> None:
    answer = TaxTable(RATES).answer(asked(country="US", region="CA", city="Oakland", category="x"))
    assert answer is not None
    assert TaxAnswer.from_text(answer.as_text()) == answer


def taxed(amounts: list[str], *rates: TaxRate, exponent: int = 2) -> list[list[tuple[Decimal, Decimal]]]:
    found = line_taxes(
        [D(each) for each in amounts], [TaxAnswer(rates=rates)] * len(amounts), exponent=exponent, rounding="HALF_EVEN"
    )  # fmt: skip
    return [[(each.taxable, each.tax) for each in line] for line in found]


def test_a_rate_is_rounded_once_over_all_lines_and_shared_out_exactly() -> None:
    """3 × 0.33 × 19 % = 0.1881: 0.19, not 3 × 0.06. 0.0627 each: 6 each, and one more to the first."""
    assert taxed(["0.33", "0.33", "0.33"], VAT) == [
        [(D("0.33"), D("0.07"))], [(D("0.33"), D("0.06"))], [(D("0.33"), D("0.06"))],
    ]  # fmt: skip


def test_contained_taxes_are_taken_out_of_the_price() -> None:
    """119 contains 19 % of 100; 100 contains 6 % and 2.5 % of 100 / 1.085 = 92.1659: 5.53 and 2.30."""
    contained = rate("VAT", "19", inclusive=True)
    assert taxed(["119.00"], contained) == [[(D("100.00"), D("19.00"))]]
    two = [rate("State", "6", inclusive=True), rate("City", "2.5", inclusive=True)]
    assert taxed(["100.00"], *two) == [[(D("92.17"), D("5.53")), (D("92.17"), D("2.30"))]]


def test_a_tax_on_top_of_a_price_that_contains_another_is_on_what_is_left() -> None:
    assert taxed(["119.00"], rate("VAT", "19", inclusive=True), rate("Levy", "1")) == [
        [(D("100.00"), D("19.00")), (D("100.00"), D("1.00"))]
    ]


def test_a_credit_lowers_the_tax() -> None:
    assert taxed(["100.00", "-40.00"], VAT) == [[(D(100), D("19.00"))], [(D(-40), D("-7.60"))]]
    assert taxed(["10.00", "-10.00"], VAT) == [[(D(10), D(0))], [(D(-10), D(0))]]


def test_tax_is_rounded_to_the_currencys_own_minor_unit() -> None:
    assert taxed(["333"], rate("Tax", "10"), exponent=0) == [[(D(333), D(33))]]


@given(
    st.integers(-(10**9), 10**9),
    st.lists(st.fractions(-1000, 1000, max_denominator=97), min_size=1, max_size=8),
)
def test_shares_add_up_to_the_whole_and_lie_within_a_unit_of_the_exact_one(
    units: int, weights: list[Fraction]
) -> None:
    total, whole = D(units).scaleb(-2), sum(weights, Fraction(0))
    shares = share_signed(total, weights, 2)
    assert sum(shares) == (total if whole else 0)
    if whole:
        exact = [Fraction(total) * weight / whole for weight in weights]
        assert all(
            abs(Fraction(share) - each) < Fraction(1, 100) for share, each in zip(shares, exact, strict=True)
        )


def test_a_rate_is_read_in_percent_or_as_a_fraction_and_written_in_percent() -> None:
    body = {"id": "vat", "name": "VAT", "country": "de", "ratePercent": "19", "validFrom": "2023-01-01"}
    read = read_tax_rate(Fields(body, ""))
    assert (read.rate, read.country, read.jurisdiction) == (D("0.19"), "DE", "DE")
    assert read_tax_rate(Fields(written_tax_rate(read), "")) == read
    fraction = {name: value for name, value in body.items() if name != "ratePercent"} | {"rate": D("0.19")}
    assert read_tax_rate(Fields(fraction, "")) == read


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"country": "Germany"}, "country"),
        ({"ratePercent": -1}, "ratePercent"),
        ({"ratePercent": 1001}, "ratePercent"),
        ({"validUntil": "2023-01-01"}, "validUntil"),
        ({"city": "Oakland"}, "region"),
        ({"taxCategory": "a b"}, "taxCategory"),
        ({"ratePercnt": 3}, "ratePercnt"),
    ],
)
def test_a_rate_that_cannot_be_is_refused_by_field(wrong: dict[str, Any], field: str) -> None:
    body = {"id": "vat", "name": "VAT", "country": "DE", "ratePercent": 19, "validFrom": "2023-01-01"}
    with pytest.raises(FieldProblem) as refused:
        read_tax_rate(Fields(body | wrong, ""))
    assert refused.value.path == field
