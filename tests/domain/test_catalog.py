"""Reading catalogs: what is understood, and what complaints say."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from domain.catalog.catalog import Catalog, read_catalog
from domain.catalog.fields import CatalogRefused, FieldProblem
from domain.catalog.plans import RatePlan, Tier, content_hash, plan_of
from domain.catalog.units import Unit

TENANT = {"id": "acme", "name": "Acme"}


def plan_with(**metric: Any) -> dict[str, Any]:
    return {"tenant": TENANT, "ratePlans": [{"key": "pro", "metrics": [{"unit": "calls", **metric}]}]}


def only_problem(document: object) -> FieldProblem:
    with pytest.raises(CatalogRefused) as caught:
        read_catalog(document)
    (problem,) = caught.value.problems
    return problem


def plan(catalog: Catalog) -> RatePlan:
    return catalog.plans["pro"]


def test_tier_bounds_must_rise_strictly_and_the_complaint_says_where() -> None:
    tiers = [{"upTo": 1000, "unitPrice": "0.1"}, {"upTo": 500, "unitPrice": "0.1"}, {"unitPrice": "0.05"}]
    problem = only_problem(plan_with(model="GRADUATED", tiers=tiers))
    assert str(problem) == (
        "ratePlans[0].metrics[0].tiers[1].upTo: 500 is not above 1000; tier bounds must rise strictly"
    )


def test_tiers_may_be_written_with_start_and_end() -> None:
    ranges = [
        {"tierStart": 0, "tierEnd": 1000, "unitPrice": "0.01", "flatFee": 2, "sortOrder": 0},
        {"tierStart": 1000, "tierEnd": -1, "unitPrice": "0.008", "flatFee": 0, "sortOrder": 1},
    ]
    bounds = [{"upTo": 1000, "unitPrice": "0.01", "flatFee": 2}, {"unitPrice": "0.008"}]
    read = [plan(read_catalog(plan_with(model="VOLUME_TIERED", tiers=tiers))) for tiers in (ranges, bounds)]
    assert read[0].prices == read[1].prices
    assert read[0].prices[0].tiers[1] == Tier(None, Decimal("0.008"), Decimal(0))


@pytest.mark.parametrize(
    ("metric", "field", "says"),
    [
        ({"model": "GRADUATED"}, "tiers", "is missing"),
        ({"model": "GRADUATED", "tiers": [{"upTo": 5, "unitPrice": 1}]}, "tiers[0].upTo", "leave it open"),
        (
            {"model": "GRADUATED", "tiers": [{"unitPrice": 1}, {"unitPrice": 1}]},
            "tiers[0].upTo",
            "only the last",
        ),
        (
            {"model": "GRADUATED", "tiers": [{"upTo": 0, "unitPrice": 1}, {"unitPrice": 1}]},
            "tiers[0].upTo",
            "above 0",
        ),
        ({"model": "GRADUATED", "rate": 1, "tiers": [{"unitPrice": 1}]}, "rate", "put prices in tiers"),
        (
            {"model": "GRADUATED", "tiers": [{"tierStart": 5, "unitPrice": 1}]},
            "tiers[0].tierStart",
            "5 is not 0",
        ),
        ({}, "rate", "is missing"),
        ({"rate": -1}, "rate", "at least 0"),
        ({"rate": "NaN"}, "rate", "at least 0"),
        ({"rate": 0.1}, "rate", "not a decimal"),
        ({"rate": True}, "rate", "not a decimal"),
        ({"rate": "0.0000000000001"}, "rate", "12 decimal places"),
        ({"rate": 1, "tiers": [{"unitPrice": 1}]}, "tiers", "means nothing for PER_UNIT"),
        ({"model": "FLAT_RATE", "minFee": 5}, "minFee", "means nothing for FLAT_RATE"),
        ({"rate": 1, "ovBehavior": "BLOCK"}, "ovBehavior", "needs a limit"),
        ({"rate": 1, "limit": 5, "rollover": {"cap": 6}}, "rollover.cap", "above limit 5"),
        ({"rate": 1, "dimensionPricing": {"a": {}}}, "dimensionPricing.a", "multiplier or a price"),
        ({"rate": 1, "raet": 1}, "raet", "not a field"),
        ({"model": "FLAT_RATE", "rate": 5}, "rate", "flatRate"),
        ({"model": "PERCENTAGE", "rate": "0.1", "ratePercent": 10}, "rate", "same as ratePercent"),
        (
            {"model": "PERCENTAGE", "ratePercent": 1, "perEventMin": 2, "perEventMax": 1},
            "perEventMin",
            "above",
        ),
        (
            {"model": "PERCENTAGE", "rate": 1, "perEventFee": 1, "includedFree": 5},
            "includedFree",
            "perEventFee",
        ),
        (
            {"model": "INCLUDED_QUOTA", "rate": 1, "blockSize": 10, "blockRateBasis": "X"},
            "blockRateBasis",
            "PER_BLOCK",
        ),
        ({"model": "SURPRISE", "rate": 1}, "model", "use one of"),
    ],
)
def test_a_price_that_makes_no_sense_is_refused_by_field(
    metric: dict[str, Any], field: str, says: str
) -> None:
    problem = only_problem(plan_with(**metric))
    assert problem.path == f"ratePlans[0].metrics[0].{field}"
    assert problem.code == "INVALID_FIELD"
    assert says in problem.what


@pytest.mark.parametrize(
    ("section", "item", "field"),
    [
        ("ratePlans", {"key": "p", "baseFee": 1, "coupons": ["X"]}, "ratePlans[0].coupons"),
        (
            "offerings",
            {"code": "o", "ratePlan": "p", "entitlements": [{"feature": "f", "unit": "u", "reset": "DAY"}]},
            "offerings[0].entitlements[0].reset",
        ),
        ("customers", {"id": "c", "taxCode": "VAT"}, "customers[0].taxCode"),
        ("subscriptions", {"id": "s", "coupons": ["X"]}, "subscriptions[0].coupons"),
    ],
)
def test_terms_of_later_versions_are_refused_wherever_they_stand(section: str, item: Any, field: str) -> None:
    problem = only_problem({"tenant": TENANT, section: [item]})
    assert (problem.code, problem.path) == ("TERMS_NOT_SUPPORTED", field)


def test_a_percentage_may_be_written_in_percent_or_as_a_fraction() -> None:
    percent, fraction = (
        plan(read_catalog(plan_with(model="PERCENTAGE", **rate)))
        for rate in ({"ratePercent": "2.5"}, {"rate": "0.025"})
    )
    assert percent.prices == fraction.prices
    assert percent.prices[0].rate == Decimal("0.025")


def test_aggregations_go_by_their_aliases_too() -> None:
    units = [
        {"key": "a", "aggregation": "P95"},
        {"key": "b", "aggregationType": "COUNT_DISTINCT", "eventField": "user"},
    ]
    read = read_catalog({"tenant": TENANT, "units": units}).units
    assert [unit.aggregation for unit in read.values()] == ["PERCENTILE_95", "UNIQUE"]


def test_unique_must_say_what_it_counts() -> None:
    problem = only_problem({"tenant": TENANT, "units": [{"key": "users", "aggregation": "UNIQUE"}]})
    assert problem.path == "units[0].eventField"


def test_names_of_the_system_are_no_units() -> None:
    problem = only_problem({"tenant": TENANT, "units": [{"key": "system.heartbeat", "aggregation": "COUNT"}]})
    assert "never billed" in problem.what


def test_an_unknown_time_zone_is_named() -> None:
    problem = only_problem({"tenant": TENANT, "customers": [{"id": "c", "timeZone": "Mars/Olympus"}]})
    assert problem.path == "customers[0].timeZone"


def test_a_currency_nobody_knows_is_named() -> None:
    assert only_problem({"tenant": {**TENANT, "currency": "DOGE"}}).path == "tenant.currency"


def test_the_same_key_twice_is_refused() -> None:
    unit = {"key": "calls", "aggregation": "COUNT"}
    assert only_problem({"tenant": TENANT, "units": [unit, unit]}).path == "units[1].key"


def test_all_problems_are_told_at_once() -> None:
    document = {"tenant": TENANT, "units": [{"key": "a"}, {"key": "b"}], "customer": []}
    with pytest.raises(CatalogRefused) as caught:
        read_catalog(document)
    assert [problem.path for problem in caught.value.problems] == [
        "units[0].aggregation", "units[1].aggregation", "customer",
    ]  # fmt: skip


@pytest.mark.parametrize("document", [None, [], "text", {"units": []}, {"tenant": "acme"}])
def test_a_document_without_a_tenant_is_refused(document: object) -> None:
    with pytest.raises(CatalogRefused):
        read_catalog(document)


def test_a_plan_comes_back_from_its_frozen_content_unchanged() -> None:
    metric = {"model": "INCLUDED_QUOTA", "rate": "0.10", "includedFree": 1000, "blockSize": 100}
    read = plan(read_catalog(plan_with(**metric)))
    content = read.content({"calls": Unit("calls", "Calls", "COUNT")})
    assert plan_of("pro", None, content) == read
    assert content["prices"][0]["rate"] == "0.1"


def test_the_same_price_written_differently_has_the_same_hash() -> None:
    units = {"calls": Unit("calls", "Calls", "COUNT")}
    contents = [
        plan(read_catalog(plan_with(rate=rate))).content(units) for rate in ("0.10", Decimal("0.1"), "1e-1")
    ]
    assert len({content_hash(content) for content in contents}) == 1


def test_a_change_of_a_units_definition_is_a_change_of_the_content() -> None:
    read = plan(read_catalog(plan_with(rate=1)))
    before, after = (read.content({"calls": Unit("calls", name, "COUNT")}) for name in ("Calls", "API Calls"))
    assert content_hash(before) != content_hash(after)


def test_an_anchor_day_defaults_to_the_day_it_starts() -> None:
    subscription = {"id": "s", "customer": "c", "offering": "o", "startDate": "2023-01-31"}
    read = read_catalog({"tenant": TENANT, "subscriptions": [subscription]}).subscriptions["s"]
    assert (read.anchor_day, read.billing_cycle) == (31, "MONTHLY")


@pytest.mark.parametrize("day", ["2023-02-30", "01/02/2023", "2023-W05-1", 20230201])
def test_a_day_is_written_year_month_day(day: object) -> None:
    subscription = {"id": "s", "customer": "c", "offering": "o", "startDate": day}
    assert (
        only_problem({"tenant": TENANT, "subscriptions": [subscription]}).path == "subscriptions[0].startDate"
    )
