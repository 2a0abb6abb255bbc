"""On any plan and any usage, the charge of a frame is the reference's charge, to the last digit."""

from collections.abc import Callable
from decimal import Decimal, localcontext
from typing import Any

import narwhals as nw
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.money import EXACT as ALL_DIGITS
from domain.money import round_money
from domain.pricing import flat_rate, graduated, included_quota, per_unit, percentage, volume_tiered
from domain.pricing.tiers import Tier
from tests.transforms.billing_rows import aggregates, term, terms, used
from transforms.charges import charge, event_charge, price_columns, tier_breakdown, tier_count
from transforms.frames import ALLOWANCES, EXACT, METERED_EVENTS, QUANTITY
from transforms.s01_quota_check import quota_check
from transforms.s02_rollover import rollover
from transforms.s04_allowance import allowance
from transforms.s05_rate import rate

thorough = settings(deadline=None)
few = settings(max_examples=40, deadline=None)
amounts = st.decimals("0", "9999999", places=9) | st.integers(0, 20).map(Decimal)
usages = st.none() | amounts | st.decimals("-1000", "0", places=9)
prices = st.decimals("0", "1000", places=12) | st.sampled_from(["0", "0.0000025", "0.125", "3"]).map(Decimal)
fees = st.none() | prices


@st.composite
def tier_lists(draw: st.DrawFn) -> list[dict[str, Any]]:
    bounds = sorted(draw(st.sets(amounts.filter(lambda a: a > 0), max_size=6)))
    return [
        {"up_to": bound, "unit_price": draw(prices), "flat_fee": draw(prices)} for bound in (*bounds, None)
    ]


MODELS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "PER_UNIT": {"rate": prices},
    "FLAT_RATE": {"flat_amount": prices, "rate": st.just(Decimal(0))},
    "PERCENTAGE": {"rate": st.decimals("-0.5", "2", places=12), "min_fee": fees},
    "INCLUDED_QUOTA": {
        "rate": prices,
        "block_size": st.none() | amounts,
        "block_rate_basis": st.sampled_from([None, "PER_BLOCK", "PER_UNIT"]),
    },
    "GRADUATED": {"tiers": tier_lists()},
    "VOLUME_TIERED": {"tiers": tier_lists()},
}


def plan(model: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(MODELS[model]).map(lambda price: term(model=model, **price))


plans = st.sampled_from(sorted(MODELS)).flatmap(plan)


def as_tiers(line: dict[str, Any]) -> list[Tier]:
    return [Tier(**band) for band in line["tiers"]]


REFERENCE: dict[str, Callable[[Decimal | None, dict[str, Any]], Decimal]] = {
    "PER_UNIT": lambda used, line: per_unit.charge(used, rate=line["rate"]),
    "FLAT_RATE": lambda used, line: flat_rate.charge(used, flat_amount=line["flat_amount"]),
    "PERCENTAGE": lambda used, line: percentage.charge(used, rate=line["rate"], min_fee=line["min_fee"]),
    "INCLUDED_QUOTA": lambda used, line: included_quota.charge(
        used, **{name: line[name] for name in ("rate", "block_size", "block_rate_basis")}
    ),
    "GRADUATED": lambda used, line: graduated.charge(used, tiers=as_tiers(line)),
    "VOLUME_TIERED": lambda used, line: volume_tiered.charge(used, tiers=as_tiers(line)),
}


def reference(line: dict[str, Any], billable: Decimal | None) -> Decimal:
    return REFERENCE[line["model"]](billable, line)


def numbered(rows: list[tuple[dict[str, Any], Any]]) -> list[tuple[dict[str, Any], Any]]:
    return [(line | {"line_id": f"ln_{place}"}, value) for place, (line, value) in enumerate(rows)]


def charges(lines: pl.DataFrame) -> list[Decimal]:
    priced = nw.from_native(price_columns(lines).lazy()).with_columns(
        ec=nw.lit(None, dtype=nw.Decimal(38, 21))
    )
    expr = charge(nw.col("billable"), nw.col("ec"), tier_count(lines))
    return priced.select(charge=expr).to_native().collect()["charge"].to_list()


def with_usage(rows: list[tuple[dict[str, Any], Decimal | None]]) -> pl.DataFrame:
    values = pl.Series("billable", [value for _, value in rows], dtype=QUANTITY)
    return terms(*(line for line, _ in rows)).with_columns(values)


@thorough
@given(st.lists(st.tuples(plans, usages), min_size=1, max_size=8))
def test_every_model_charges_what_its_reference_charges(
    rows: list[tuple[dict[str, Any], Decimal | None]],
) -> None:
    assert charges(with_usage(rows)) == [reference(line, value) for line, value in rows]


@few
@given(plan("INCLUDED_QUOTA"), amounts, st.integers(0, 1000), st.sampled_from(["-1e-9", "0", "1e-9"]))
def test_blocks_are_counted_right_around_each_bound(
    line: dict[str, Any], block: Decimal, blocks: int, nudge: str
) -> None:
    line = line | {"block_size": block}
    value = block * blocks + Decimal(nudge)
    assert charges(with_usage([(line, value)])) == [reference(line, value)]


@few
@given(st.lists(st.tuples(plan("GRADUATED") | plan("VOLUME_TIERED"), amounts), min_size=1, max_size=5))
def test_bands_are_those_of_the_reference_and_make_up_the_charge(
    rows: list[tuple[dict[str, Any], Decimal]],
) -> None:
    rows = numbered(rows)
    lines = with_usage(rows)
    found = dict(tier_breakdown(lines).select("line_id", "bands").iter_rows())
    for (line, value), whole in zip(rows, charges(lines), strict=True):
        model = graduated if line["model"] == "GRADUATED" else volume_tiered
        bands = found.get(line["line_id"], [])
        expected = model.breakdown(value, tiers=as_tiers(line))
        assert [tuple(band.values()) for band in bands] == [
            (band.up_to, band.quantity, band.unit_price, band.flat_fee, band.amount) for band in expected
        ]
        with localcontext(ALL_DIGITS):
            assert sum((band["amount"] for band in bands), Decimal(0)) == whole


@few
@given(st.lists(st.tuples(plans, usages), min_size=2, max_size=6), st.randoms())
def test_the_order_and_company_of_lines_change_no_charge(
    rows: list[tuple[dict[str, Any], Decimal | None]], random: Any
) -> None:
    together = charges(with_usage(rows))
    order = list(range(len(rows)))
    random.shuffle(order)
    assert charges(with_usage([rows[i] for i in order])) == [together[i] for i in order]


@thorough
@given(st.decimals("-10000", "10000", places=9), prices, fees, fees, fees)
def test_an_events_own_charge_is_the_references(
    quantity: Decimal, rate_: Decimal, fee: Decimal | None, least: Decimal | None, greatest: Decimal | None
) -> None:
    bounds = {"per_event_fee": fee, "per_event_min": least, "per_event_max": greatest}
    lines = with_usage([(term(model="PERCENTAGE", rate=rate_, **bounds), quantity)])
    own = (
        nw.from_native(lines.lazy()).select(own=event_charge(nw.col("billable"))).to_native().collect()["own"]
    )
    assert own.dtype == EXACT
    expected = percentage.event_charge(quantity, rate=rate_, fee=fee, least=least, greatest=greatest)
    assert own[0] == (None if fee is least is greatest is None else expected)


@few
@given(
    st.lists(
        st.tuples(plans, amounts, st.sampled_from(["HALF_EVEN", "HALF_UP"]), st.sampled_from([0, 2, 3, 4])),
        min_size=1,
        max_size=6,
    )
)
def test_a_line_is_the_references_charge_after_free_units_rounded_once(
    rows: list[tuple[dict[str, Any], Decimal, str, int]],
) -> None:
    lines = [
        line | {"line_id": f"ln_{i}", "included_free": Decimal(5), "rounding": mode, "exponent": exponent}
        for i, (line, _, mode, exponent) in enumerate(rows)
    ]
    frozen = terms(*lines)
    usage = aggregates(*(used(line, str(row[1])) for line, row in zip(lines, rows, strict=True)))
    free = allowance(
        usage_aggregates=usage,
        rollovers=rollover(terms=frozen, earlier_allowances=ALLOWANCES.empty()),
        terms=frozen,
    )
    rated = rate(allowances=free, usage_aggregates=usage, terms=frozen)
    amounts_by_line = dict(rated.select("line_id", "amount").iter_rows())
    assert quota_check(metered_events=METERED_EVENTS.empty().lazy(), terms=frozen).height == len(rows)
    for line, (_, value, mode, exponent) in zip(lines, rows, strict=True):
        exact = reference(line, max(value - 5, Decimal(0)))
        assert amounts_by_line[line["line_id"]] == round_money(exact, exponent, mode)
