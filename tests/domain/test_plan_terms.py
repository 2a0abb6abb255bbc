"""Plans as content and as documents, and what is odd about them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from domain.catalog.fields import FieldProblem, Fields
from domain.catalog.plan_diff import plan_differences
from domain.catalog.plan_documents import plan_document
from domain.catalog.plan_price import price_plan
from domain.catalog.plan_reading import read_plan
from domain.catalog.plans import RatePlan, content_hash, plan_of
from domain.catalog.pricing_warnings import warnings_of
from domain.catalog.units import Unit

UNITS = {key: Unit(key, key, "SUM") for key in ("calls", "tokens")}
EVERYTHING: dict[str, Any] = {
    "key": "all", "baseFee": 5, "baseFeeTiming": "ADVANCE", "setupFee": 1, "minimumSpend": 10, "maximumSpend": 20,
    "productIds": ["api"], "pricingModel": "PER_UNIT", "rateLimit": {"requests": 5},
    "commitment": {"type": "PREPAID", "amount": 100, "trueUp": False, "overageFactor": "1.5", "termMonths": 6},
    "dimensionPricing": {"b": 2, "a": "0.5"},
    "metrics": [
        {"unit": "calls", "rate": 1, "includedFree": 5, "limit": 9, "ovBehavior": "BLOCK", "rollover": True, "minFee": 3},
        {"unit": "tokens", "rate": 1, "dimensionPricing": {"field": "m", "values": {"x": {"price": 1}}}},
    ],
}  # fmt: skip


def plan(**written: Any) -> RatePlan:
    return read_plan(Fields({"key": "p", **written}, ""), "USD")


def test_content_and_document_lead_back_to_the_same_plan() -> None:
    read = read_plan(Fields(EVERYTHING, ""), "USD")
    assert plan_of("all", None, read.content(UNITS)) == read
    assert read_plan(Fields(plan_document(read, {}), ""), "USD") == read


def test_usage_charged_ahead_is_refused_where_it_is_written() -> None:
    for price in ({"rate": 1}, {"model": "FLAT_RATE", "flatRate": 5}):
        with pytest.raises(
            FieldProblem, match=r"metrics\[0\]\.billingTiming: ADVANCE cannot .* baseFeeTiming ADVANCE"
        ):
            plan(metrics=[{"unit": "calls", "billingTiming": "advance", **price}])


def test_a_version_made_before_these_terms_keeps_its_hash() -> None:
    """Taken from a database of the first release."""
    content = plan(name="Pro", baseFee="49", metrics=[{"unit": "calls", "rate": "0.001"}]).content(UNITS)
    assert set(content) == {"name", "currency", "baseFee", "prices"}
    assert set(content["prices"][0]) == {
        "unit", "unitName", "aggregation", "eventField", "filters", "model", "rate", "flatAmount", "includedFree",
        "blockSize", "blockRateBasis", "minFee", "perEventFee", "perEventMin", "perEventMax", "tiers",
    }  # fmt: skip
    assert content_hash(content) == "9fc856da86895eb98938f4be06bfcd35f5a3098a2cff8adb876ed45753f0b4f5"


def test_a_difference_names_the_leaf_and_not_the_place_in_the_list() -> None:
    prices = [{"unit": "calls", "rate": 1}, {"unit": "tokens", "rate": 2}]
    before = plan(metrics=prices).content(UNITS)
    after = plan(metrics=[prices[1], {**prices[0], "rate": 3}], minimumSpend=5).content(UNITS)
    assert plan_differences(before, after) == {
        "prices.calls.rate": {"before": "1", "after": "3"},
        "minimumSpend": {"before": None, "after": "5"},
    }


def tiered(model: str, *bands: tuple[Any, ...], **more: Any) -> dict[str, Any]:
    tiers = [
        {"upTo": up_to, "unitPrice": price, "flatFee": fee[0] if fee else 0} for up_to, price, *fee in bands
    ]
    return {"metrics": [{"unit": "calls", "model": model, "tiers": tiers, **more}]}


@pytest.mark.parametrize(
    ("written", "code", "says"),
    [
        (tiered("VOLUME_TIERED", (1000, "0.01"), (None, "0.008")), "VOLUME_CLIFF", "above 1000 and below 1250 costs less"),
        (
            tiered("VOLUME_TIERED", (1000, "0.01"), (None, "0.008"), includedFree=500),
            "VOLUME_CLIFF",
            "above 1500 and below 1750 costs less",
        ),
        (tiered("VOLUME_TIERED", (10, 1), (20, "0.1"), (None, "0.05")), "VOLUME_CLIFF", "above 10 and below 200 costs"),
        (tiered("VOLUME_TIERED", (10, 1, 5), (None, 0, 1)), "VOLUME_CLIFF", "above 10 costs less than 10 does (15)"),
        (tiered("GRADUATED", (10, 1), (None, 2)), "RISING_PRICE", "2 is above 1"),
        (tiered("GRADUATED", (10, 0), (None, 2)), "ZERO_RATE", "up to 10 is free"),
        ({"metrics": [{"unit": "calls", "rate": 0}]}, "ZERO_RATE", "calls is free"),
        (
            {"metrics": [{"unit": "calls", "model": "INCLUDED_QUOTA", "rate": 1, "blockSize": 5}]},
            "BLOCKS_WITHOUT_FREE_UNITS",
            "blocks of 5",
        ),
        (
            {"metrics": [{"unit": "calls", "rate": 1, "includedFree": 9, "limit": 5, "ovBehavior": "BLOCK"}]},
            "LIMIT_BELOW_FREE_UNITS",
            "5 is below includedFree 9",
        ),
        ({"metrics": [{"unit": "calls", "rate": 1, "limit": 5}]}, "LIMIT_WITHOUT_EFFECT", "limits nothing"),
        ({"baseFee": 9, "minimumSpend": 9}, "MINIMUM_WITHOUT_EFFECT", "never applies"),
        (
            {"baseFee": 9, "baseFeeTiming": "ADVANCE", "minimumSpend": 20},
            "HELD_FROM_BILLING",
            "a base fee in advance with a minimum or maximum spend and no unit cannot be billed yet",
        ),
        (
            {"baseFee": 9, "baseFeeTiming": "ADVANCE", "commitment": {"type": "ANNUAL", "amount": 900}},
            "HELD_FROM_BILLING",
            "a base fee in advance with a commitment over a term cannot be billed yet",
        ),
        (
            {"metrics": [{"unit": "calls", "rate": 1, "minFee": 5, "dimensionPricing": {"search": 2}}]},
            "HELD_FROM_BILLING",
            "a price by dimension with a minimum fee",
        ),
    ],
)  # fmt: skip
def test_a_legal_but_odd_price_is_warned_about(written: dict[str, Any], code: str, says: str) -> None:
    assert any(says in each.message for each in warnings_of(plan(**written)) if each.code == code)


@pytest.mark.parametrize(
    "written",
    [
        tiered("VOLUME_TIERED", (10, "0.1"), (None, "0.1")),
        tiered("VOLUME_TIERED", (10, 1), (None, "0.9", 5)),
        tiered("GRADUATED", (10, 2), (None, 1)),
        {"baseFee": 9, "metrics": [{"unit": "calls", "rate": 1, "includedFree": 5}]},
        {"baseFee": 9, "baseFeeTiming": "ADVANCE", "setupFee": 1},
        {
            "metrics": [
                {
                    "unit": "calls",
                    "rate": 1,
                    "includedFree": 5,
                    "rollover": True,
                    "limit": 9,
                    "ovBehavior": "BLOCK",
                }
            ]
        },
        {"dimensionPricing": {"search": 2}, "metrics": [{"unit": "calls", "rate": 1, "includedFree": 5}]},
    ],
)
def test_a_usual_price_has_no_warnings(written: dict[str, Any]) -> None:
    assert warnings_of(plan(**written)) == []


def test_a_cliff_is_where_the_charge_says_it_is() -> None:
    read = plan(**tiered("VOLUME_TIERED", (1000, "0.01"), (None, "0.008")))
    charge = {q: price_plan(read, {"calls": [Decimal(q)]}).total for q in ("1000", "1001", "1249", "1250")}
    assert charge["1000"] == charge["1250"] == 10
    assert charge["1001"] < charge["1249"] < 10


def test_usage_beyond_a_limit_costs_nothing_and_spend_stays_within_bounds() -> None:
    read = plan(
        minimumSpend=5,
        maximumSpend=8,
        metrics=[{"unit": "calls", "rate": 1, "limit": 9, "ovBehavior": "IGNORE"}],
    )
    found = {used: price_plan(read, {"calls": [Decimal(used)]}) for used in (1, 6, 20)}
    assert {used: priced.total for used, priced in found.items()} == {1: 5, 6: 6, 20: 8}
    assert (found[20].lines[0].uncharged, found[20].lines[0].amount, found[20].adjustment) == (11, 9, -1)
