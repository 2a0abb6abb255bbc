"""Charges on frames: the rules that hold for whole tables."""

import narwhals as nw
import polars as pl
import pytest

from domain.pricing.tiers import BadTiers
from tests.transforms.billing_rows import d, term, terms, tiers
from transforms.charges import charge, event_charge, price_columns, tier_breakdown, tier_count, too_much
from transforms.frames import EXACT, QUANTITY

BANDS = tiers((1000, "0.010"), (10000, "0.008"), (None, "0.005"))


def charged(line: dict, billable: str | int | None, events: str | None = None) -> object:
    frame = price_columns(terms(line)).with_columns(
        billable=pl.lit(billable, dtype=QUANTITY) if billable is None else pl.lit(d(billable)).cast(QUANTITY),
        event_charges=pl.lit(None if events is None else d(events)).cast(EXACT),
    )
    expr = charge(nw.col("billable"), nw.col("event_charges"), tier_count(terms(line)))
    result = nw.from_native(frame.lazy()).select(charge=expr).to_native().collect()["charge"]
    assert result.dtype == EXACT
    return result[0]


def test_the_worked_tiers_come_to_107_graduated_and_75_by_volume() -> None:
    assert charged(term(model="GRADUATED", tiers=BANDS), 15000) == d(107)
    assert charged(term(model="VOLUME_TIERED", tiers=BANDS), 15000) == d(75)


@pytest.mark.parametrize(("over", "cost"), [(100, "0.10"), (150, "0.20"), (200, "0.20")])
def test_blocks_are_billed_whole(over: int, cost: str) -> None:
    blocks = {"rate": d("0.001"), "block_size": d(100), "block_rate_basis": "PER_UNIT"}
    assert charged(term(model="INCLUDED_QUOTA", **blocks), over) == d(cost)


def test_blocks_are_exact_where_a_rounded_quotient_would_be_a_whole_number() -> None:
    blocks = {"rate": d(1), "block_size": d(3), "block_rate_basis": "PER_BLOCK"}
    assert charged(term(model="INCLUDED_QUOTA", **blocks), "3.000000001") == d(2)
    assert charged(term(model="INCLUDED_QUOTA", **blocks), "2.999999999") == d(1)


@pytest.mark.parametrize("nothing", [None, 0, -5])
def test_no_usage_costs_nothing_but_flat_amounts_and_floors(nothing: int | None) -> None:
    fees = tiers((10, "1", 5), (None, "1", 7))
    assert charged(term(), nothing) == 0
    assert charged(term(model="INCLUDED_QUOTA", block_size=d(10)), nothing) == 0
    assert charged(term(model="GRADUATED", tiers=fees), nothing) == 0
    assert charged(term(model="VOLUME_TIERED", tiers=fees), nothing) == 0
    assert charged(term(model="FLAT_RATE", flat_amount=d(49)), nothing) == d(49)
    assert charged(term(model="PERCENTAGE", min_fee=d(3)), nothing) == d(3)


@pytest.mark.parametrize("model", ["PER_UNIT", "FLAT_RATE", "PERCENTAGE", "INCLUDED_QUOTA"])
def test_a_missing_price_is_null_never_zero(model: str) -> None:
    assert charged(term(model=model, rate=None, min_fee=d(3)), 5) is None


def test_event_charges_replace_the_share_of_the_total() -> None:
    line = term(model="PERCENTAGE", rate=d("0.029"), min_fee=d(3))
    assert charged(line, 1000, events="4.5") == d("4.5")
    assert charged(line, 1000, events="2.5") == d(3)
    assert charged(term(), 1000, events="2.5") == d(10)  # no other model looks at them


@pytest.mark.parametrize(("quantity", "own"), [(100, "3.20"), (1, "0.50"), (9999, "20"), (-100, "-3.20")])
def test_an_event_has_a_charge_of_its_own_where_terms_say_so(quantity: int, own: str) -> None:
    bounds = {"per_event_fee": d("0.30"), "per_event_min": d("0.5"), "per_event_max": d(20)}
    lines = terms(term(model="PERCENTAGE", rate=d("0.029"), **bounds), term(model="PERCENTAGE"), term())
    events = nw.from_native(lines.with_columns(quantity=pl.lit(d(quantity)).cast(QUANTITY)).lazy())
    result = events.select(own=event_charge(nw.col("quantity"))).to_native().collect()["own"]
    assert (result.dtype, result.to_list()) == (EXACT, [d(own), None, None])


@pytest.mark.parametrize(
    ("line", "units"),
    [
        (term(rate=d("123456.123456789012")), "99999999999999999.999999999"),
        (term(rate=d(1)), "100000000000000000"),
        (term(model="GRADUATED", tiers=tiers((10**16, "100"), (None, "1"))), "10000000000000001"),
        (term(model="VOLUME_TIERED", tiers=tiers((10**16, "1"), (None, "100"))), "10000000000000001"),
        (term(model="INCLUDED_QUOTA", rate=d(10**11), block_size=d("0.000001")), 1),
        (term(model="PERCENTAGE", rate=d(10**11)), 10**6),
    ],
)
def test_a_charge_beyond_what_decimals_hold_is_known_before_it_is_worked_out(
    line: dict, units: object
) -> None:
    assert charged(line, units) is None
    frame = price_columns(terms(line)).with_columns(billable=pl.lit(d(units)).cast(QUANTITY))
    told = nw.from_native(frame).select(much=too_much(nw.col("billable"), tier_count(terms(line))))
    assert told["much"].to_list() == [True]


def test_just_below_it_every_digit_is_kept() -> None:
    assert charged(term(rate=d("0.99")), "99999999999999999.999999999") == d("98999999999999999.99999999901")
    line = term(model="GRADUATED", tiers=tiers((10**16, "100"), (None, "1")))
    assert charged(line, 5) == d(500), "a band that is too much in full does not concern who never fills it"


@pytest.mark.parametrize(
    "bounds", [[10, 10, None], [20, 10, None], [0, None], [-1, None], [10], [None, None], [], None]
)
def test_tiers_that_do_not_rise_to_one_open_end_are_refused(bounds: list[int | None] | None) -> None:
    bands = None if bounds is None else tiers(*((bound, "1") for bound in bounds))
    with pytest.raises(BadTiers, match="rise strictly"):
        price_columns(terms(term(model="GRADUATED", tiers=bands)))


def test_tiers_of_other_models_are_ignored() -> None:
    assert charged(term(tiers=tiers((10, "1"))), 5) == d("0.05")


def test_the_breakdown_shows_the_bands_used_and_adds_up() -> None:
    lines = terms(
        term("a", "GRADUATED", tiers=BANDS),
        term("b", "VOLUME_TIERED", tiers=BANDS),
        term("c", "GRADUATED", tiers=BANDS),
        term("d"),
    ).with_columns(billable=pl.Series([d(1500), d(1500), d(0), d(7)], dtype=QUANTITY))
    bands = dict(tier_breakdown(lines).select("line_id", "bands").iter_rows())
    assert {
        line: [(b["up_to"], b["quantity"], b["amount"]) for b in found] for line, found in bands.items()
    } == {
        "ln_c1_a": [(d(1000), d(1000), d(10)), (d(10000), d(500), d(4))],
        "ln_c1_b": [(d(10000), d(1500), d(12))],
    }


def test_no_terms_give_no_columns_and_no_error() -> None:
    assert price_columns(terms()).is_empty()
    assert tier_breakdown(terms().with_columns(billable=pl.lit(None, dtype=QUANTITY))).is_empty()
