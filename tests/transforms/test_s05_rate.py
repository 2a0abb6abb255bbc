"""Rate: a line for every due term, rounded once; what has no price says so."""

from typing import Any

import polars as pl
import pytest

from domain.money import UnknownRounding
from tests.transforms.billing_rows import MID_NOVEMBER, aggregates, d, term, terms, tiers, unpriced, used
from transforms.frames import ALLOWANCES, RATED_LINES
from transforms.s02_rollover import rollover
from transforms.s04_allowance import allowance
from transforms.s05_rate import rate

BANDS = tiers((1000, "0.010"), (10000, "0.008"), (None, "0.005"))


def rated(
    *lines: tuple[dict[str, Any], str | int | None], extra: tuple[dict[str, Any], ...] = ()
) -> pl.DataFrame:
    """RATED_LINES of (term, value); a fee's value is ignored."""
    frozen = terms(*(line for line, _ in lines))
    usage = aggregates(*(used(line, value) for line, value in lines if line["unit"]), *extra)
    free = allowance(
        usage_aggregates=usage,
        rollovers=rollover(terms=frozen, earlier_allowances=ALLOWANCES.empty()),
        terms=frozen,
    )
    result = rate(allowances=free, usage_aggregates=usage, terms=frozen)
    assert result.schema == pl.Schema(RATED_LINES.schema)
    return result


def one(line: dict[str, Any], value: str | int | None = None) -> dict[str, Any]:
    return rated((line, value)).row(0, named=True)


def test_a_usage_line_carries_its_terms_usage_and_charge() -> None:
    row = one(term(included_free=d(1000), rate=d("0.0004")), 6125)
    assert row["line_type"] == "USAGE_FEE"
    assert (row["quantity"], row["included"], row["billable"]) == (d(6125), d(1000), d(5125))
    assert (row["unrounded"], row["amount"], row["events"]) == (d("2.05"), d("2.05"), 1)
    assert (row["currency"], row["model"], row["problem"], row["tiers"]) == ("USD", "PER_UNIT", None, None)


@pytest.mark.parametrize(
    ("currency", "exponent", "rounding", "units", "amount"),
    [
        ("USD", 2, "HALF_EVEN", "12.5", "0.12"),
        ("USD", 2, "HALF_EVEN", "13.5", "0.14"),
        ("USD", 2, "HALF_UP", "12.5", "0.13"),
        ("USD", 2, "HALF_EVEN", "12.500000001", "0.13"),
        ("JPY", 0, "HALF_EVEN", "250", "2"),
        ("KWD", 3, "HALF_EVEN", "1.25", "0.012"),
    ],
)
def test_a_line_is_rounded_once_to_its_currency(
    currency: str, exponent: int, rounding: str, units: str, amount: str
) -> None:
    money = {"currency": currency, "exponent": exponent, "rounding": rounding}
    assert one(term(rate=d("0.01"), **money), units)["amount"] == d(amount)


def test_lines_of_different_currencies_round_each_in_its_own_way() -> None:
    yen = term("b", rate=d("0.5"), currency="JPY", exponent=0)
    lines = rated(
        (term("a", rate=d("0.125")), 1), (yen, 3), (term("c", rate=d("0.125"), rounding="HALF_UP"), 1)
    )
    assert lines["amount"].to_list() == [d("0.12"), d("2"), d("0.13")]


def test_an_unknown_rounding_mode_is_refused() -> None:
    with pytest.raises(UnknownRounding):
        one(term(rounding="CEILING"), 5)


def test_a_unit_not_used_still_has_its_line() -> None:
    frozen = terms(term("a"), term("m", line_order=2, aggregation="MAX"))
    nothing = aggregates()
    free = allowance(
        usage_aggregates=nothing,
        rollovers=rollover(terms=frozen, earlier_allowances=ALLOWANCES.empty()),
        terms=frozen,
    )
    lines = rate(allowances=free, usage_aggregates=nothing, terms=frozen)
    assert lines.select("unit", "events", "quantity", "amount", "problem").rows() == [
        ("a", 0, d(0), d(0), None),
        ("m", 0, None, d(0), None),
    ]


def test_a_base_fee_is_a_charge_and_stands_first() -> None:
    lines = rated((term(), 5), (term(None, flat_amount=d("49.00")), None))
    assert lines.select("line_type", "amount", "model", "events", "quantity").rows() == [
        ("CHARGE", d(49), "FEE", 0, None),
        ("USAGE_FEE", d("0.05"), "PER_UNIT", 1, d(5)),
    ]


@pytest.mark.parametrize("line", [term(None, flat_amount=d(49)), term(model="FLAT_RATE", flat_amount=d(49))])
def test_a_fee_for_half_the_period_is_half(line: dict[str, Any]) -> None:
    assert one(line | {"active_start": MID_NOVEMBER})["amount"] == d("24.5")
    assert one(line | {"active_end": MID_NOVEMBER})["amount"] == d("24.5")


def test_usage_at_a_unit_price_needs_no_proration() -> None:
    row = one(term(active_start=MID_NOVEMBER), 500)
    assert (row["amount"], row["problem"]) == (d(5), None)


@pytest.mark.parametrize(
    ("price", "amount"),
    [
        ({"included_free": d(10)}, "4.90"),
        ({"model": "GRADUATED", "tiers": BANDS}, None),
        ({"model": "VOLUME_TIERED", "tiers": BANDS}, None),
        ({"model": "PERCENTAGE", "min_fee": d(5)}, "5.00"),
    ],
)
def test_free_units_and_floors_of_a_part_are_those_the_terms_say_and_tiers_begin_anew(
    price: dict[str, Any], amount: str | None
) -> None:
    """The terms reduce what is meant for a whole period (see domain.terms); Rate takes it as it stands."""
    row = one(term(active_start=MID_NOVEMBER, **price), 500)
    whole = one(term(**price), 500)
    assert (row["line_type"], row["problem"]) == ("USAGE_FEE", None)
    assert row["amount"] == (whole["amount"] if amount is None else d(amount))


def test_a_price_missing_from_the_terms_is_a_problem_not_zero() -> None:
    row = one(term(rate=None), 0)
    assert (row["line_type"], row["amount"]) == ("UNPRICED", d(0))
    assert row["problem"] == "NO_PRICE: api_calls of plan pro v1 has model PER_UNIT but not its price"
    assert one(term(None))["problem"].startswith("NO_PRICE: Pro plan: base fee")


def test_unpriced_usage_has_a_line_of_its_own_that_says_why() -> None:
    lines = rated((term(), 5), extra=(unpriced("NO_PRICE"), unpriced("NO_SUBSCRIPTION", "seats", "c9")))
    problems = lines.filter(pl.col("line_type") == "UNPRICED")
    assert lines["unit"].to_list() == ["api_calls", "gpu_hours", "seats"]  # after what has a price
    assert problems.select("customer_id", "quantity", "amount", "currency", "problem").rows() == [
        (
            "c1",
            d(3),
            d(0),
            None,
            "NO_PRICE: unit gpu_hours used by customer c1 from 2023-11-16T00:00:00Z to 2023-11-16T00:00:00Z "
            "is not priced by plan pro v1 (subscription sub_c1)",
        ),
        (
            "c9",
            d(3),
            d(0),
            None,
            "NO_SUBSCRIPTION: unit seats used by customer c9 from 2023-11-16T00:00:00Z "
            "to 2023-11-16T00:00:00Z is covered by no subscription",
        ),
    ]


def test_tiered_lines_show_their_bands_and_these_make_up_the_line() -> None:
    row = one(term(model="GRADUATED", tiers=BANDS), 15000)
    assert [(band["quantity"], band["amount"]) for band in row["tiers"]] == [
        (d(1000), d(10)),
        (d(9000), d(72)),
        (d(5000), d(25)),
    ]
    assert row["amount"] == sum(band["amount"] for band in row["tiers"]) == d(107)


def test_bands_are_counted_after_free_units() -> None:
    row = one(term(model="VOLUME_TIERED", tiers=BANDS, included_free=d(5000)), 15000)
    assert (row["tiers"][0]["quantity"], row["amount"]) == (d(10000), d(80))


def test_charges_in_advance_are_a_problem_of_their_line() -> None:
    row = one(term(billing_timing="ADVANCE"), 5)
    assert (row["line_type"], row["amount"]) == ("UNPRICED", d(0))
    assert row["problem"].startswith("TERMS_NOT_SUPPORTED: Rate cannot honour charges in advance yet: ")


@pytest.mark.parametrize("model", ["PER_UNIT", "INCLUDED_QUOTA", "PERCENTAGE"])
def test_a_minimum_fee_is_the_floor_of_every_metered_model(model: str) -> None:
    assert one(term(model=model, min_fee=d(5)), 100)["amount"] == d(5)
    assert one(term(model=model, min_fee=d(5)), 1000)["amount"] == d(10)
    assert one(term(model="GRADUATED", tiers=BANDS, min_fee=d(5)), 0)["amount"] == d(5)


def test_a_share_of_the_whole_is_one_band_at_its_rate_and_none_where_something_else_made_the_charge() -> None:
    line = one(term(model="PERCENTAGE", rate=d("0.033")), 12000)
    (band,) = line["tiers"]
    assert (band["unit_price"], band["quantity"], band["amount"]) == (d("0.033"), d(12000), line["unrounded"])
    assert one(term(model="PERCENTAGE", rate=d("0.033"), min_fee=d(500)), 12000)["tiers"] is None
    assert one(term(model="PERCENTAGE", rate=d("0.033")), 0)["tiers"] is None


def test_the_order_of_the_input_does_not_show() -> None:
    lines = [(term(unit, line_order=place), 5) for place, unit in enumerate(["a", "b", "c"], 1)]
    assert rated(*lines).equals(rated(*reversed(lines)))
