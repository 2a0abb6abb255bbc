"""Rate plans over HTTP: the fields existing clients send and read, versions, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.control.conftest import Api, problem

PLANS = "/api/v1/rateplans"
PRO: dict[str, Any] = {
    "name": "Pro",
    "description": "For teams",
    "pricingModel": "GRADUATED",
    "currency": "USD",
    "baseFee": 49,
    "productIds": [],
    "metricConfigs": [
        {
            "metricId": "calls",
            "metricName": "API Calls",
            "model": "GRADUATED",
            "rate": 0,
            "includedFree": 0,
            "blockSize": 0,
            "minFee": 0,
            "billingTiming": "ARREARS",
            "ovBehavior": "CHARGE",
            "tiers": [
                {"tierStart": 0, "tierEnd": 1000, "unitPrice": 0.010, "flatFee": 0, "sortOrder": 0},
                {"tierStart": 1000, "tierEnd": 10000, "unitPrice": 0.008, "flatFee": 0, "sortOrder": 1},
                {"tierStart": 10000, "tierEnd": -1, "unitPrice": 0.005, "flatFee": 0, "sortOrder": 2},
            ],
        },
        {"metricName": "tokens", "model": "PER_UNIT", "rate": 0.000003},
    ],
}


@pytest.fixture
def pricing(api: Api) -> Api:
    for key, name in (("calls", "API Calls"), ("tokens", "Tokens")):
        api.made("/api/v1/metrics", {"key": key, "name": name, "aggregationType": "COUNT"})
    return api


def test_a_plan_is_created_published_and_read_back_as_it_was_sent(pricing: Api) -> None:
    made = pricing.made(PLANS, PRO)
    assert (made["name"], made["version"], made["status"]) == ("Pro", 1, "PUBLISHED")
    assert made["id"].startswith("rpl_")
    read = pricing.get(f"{PLANS}/{made['id']}").json()["data"]
    assert read == made
    calls, tokens = read["metricConfigs"]
    assert calls["tiers"][2] == {
        "tierStart": "10000", "tierEnd": "-1", "unitPrice": "0.005", "flatFee": "0", "sortOrder": 2,
    }  # fmt: skip
    assert (tokens["metricId"], tokens["metricName"], tokens["rate"]) == ("tokens", "Tokens", "0.000003")
    assert pricing.put(f"{PLANS}/{made['id']}", read).json()["data"]["version"] == 1, "an answer sent back"


def test_search_finds_plans_by_a_part_of_their_name(pricing: Api) -> None:
    made = pricing.made(PLANS, PRO)
    pricing.made(PLANS, {"name": "Basic", "baseFee": 5})
    found = pricing.get(f"{PLANS}/search?name=pr").json()["data"]
    assert [(each["id"], each["name"], each["version"]) for each in found] == [(made["id"], "Pro", 1)]
    assert [each["name"] for each in pricing.get(PLANS).json()["data"]] == ["Basic", "Pro"]


def test_a_deleted_plan_is_gone_from_lists_and_still_there_by_id(pricing: Api) -> None:
    plan = pricing.made(PLANS, PRO)["id"]
    assert pricing.delete(f"{PLANS}/{plan}").status_code == 204
    assert pricing.get(f"{PLANS}/search?name=Pro").json()["data"] == []
    assert len(pricing.get(f"{PLANS}?includeArchived=true").json()["data"]) == 1
    assert pricing.get(f"{PLANS}/{plan}").json()["data"]["status"] == "ARCHIVED"
    problem(pricing.patch(f"{PLANS}/{plan}", {"name": "X"}), 409, "RATE_PLAN_ARCHIVED")


def test_a_metric_priced_twice_is_a_bad_request_in_whatever_case(pricing: Api) -> None:
    twice = [{"metricName": "tokens", "rate": 1}, {"metricName": " TOKENS ", "rate": 1}]
    problem(pricing.post(PLANS, {"name": "P", "metricConfigs": twice}), 400, "DUPLICATE_METRIC")
    by_both = [{"metricId": "calls", "rate": 1}, {"metricName": "api calls", "rate": 1}]
    problem(pricing.post(PLANS, {"name": "P", "metricConfigs": by_both}), 400, "DUPLICATE_METRIC")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"baseFee": 5}, "name"),
        ({"name": "P"}, "metrics"),
        ({"name": "P", "baseFee": -1}, "baseFee"),
        ({"name": "P", "baseFee": 1, "bseFee": 1}, "bseFee"),
        ({"name": "P", "baseFee": 1, "currency": "XXQ"}, "currency"),
        ({"name": "P", "baseFee": 1, "productIds": ["nope"]}, "productIds[0]"),
        ({"name": "P", "metricConfigs": [{"metricName": "nope", "rate": 1}]}, "metricConfigs[0].metricName"),
        ({"name": "P", "metricConfigs": [{"metricName": "tokens"}]}, "metricConfigs[0].rate"),
        ({"name": "P", "baseFee": 1, "minimumSpend": 9, "maximumSpend": 8}, "minimumSpend"),
        ({"name": "P", "baseFee": 1, "commitment": {"type": "ANNUAL"}}, "commitment.amount"),
        ({"name": "P", "baseFee": 1, "rateLimit": {"requests": 0}}, "rateLimit.requests"),
        (
            {"name": "P", "metricConfigs": [{"metricName": "tokens", "rate": 1, "ovBehavior": "BLOCK"}]},
            "metricConfigs[0].ovBehavior",
        ),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused_by_field(
    pricing: Api, body: dict[str, Any], field: str
) -> None:
    problem(pricing.post(PLANS, body), 422, field=field)


def test_every_term_is_kept_and_read_back(pricing: Api) -> None:
    terms = {
        "baseFee": "49", "baseFeeTiming": "ADVANCE", "setupFee": "100", "minimumSpend": "60", "maximumSpend": "900",
        "commitment": {"type": "ANNUAL", "amount": "12000", "trueUp": True, "overageFactor": "1.2", "termMonths": 12},
        "rateLimit": {"requests": 600, "windowSeconds": 60, "burst": 5},
        "dimensionPricing": {"values": {"large": {"multiplier": "3"}}},
    }  # fmt: skip
    price = {
        "metricName": "tokens", "rate": "0.5", "includedFree": "10", "minFee": "2", "limit": "500", "ovBehavior": "IGNORE",
        "billingTiming": "ARREARS", "rollover": {"enabled": True, "cap": "50"},
        "dimensionPricing": {"field": "tool_name", "values": {"search": {"multiplier": "2"}, "write": {"price": "0.1"}}},
    }  # fmt: skip
    made = pricing.made(PLANS, {"name": "All", **terms, "metricConfigs": [price]})
    assert {name: made[name] for name in terms} == terms
    assert {name: made["metricConfigs"][0][name] for name in price if name != "metricName"} == {
        name: value for name, value in price.items() if name != "metricName"
    }


def test_odd_prices_are_warned_about_with_quantities(pricing: Api) -> None:
    tiers = [
        {"tierStart": 0, "tierEnd": 10000, "unitPrice": 0.01},
        {"tierStart": 10000, "tierEnd": -1, "unitPrice": 0.008},
    ]
    cliff = {"metricName": "calls", "model": "VOLUME_TIERED", "rate": 0, "tiers": tiers}
    answer = pricing.post(PLANS, {"name": "Cliff", "metricConfigs": [cliff]})
    assert answer.json()["meta"]["warnings"] == [
        {
            "code": "VOLUME_CLIFF",
            "field": "metricConfigs[0].tiers[0].tierEnd",
            "message": "usage above 10000 and below 12500 costs less than 10000 does (100): more usage is cheaper",
        }
    ]


def test_a_draft_changes_nothing_until_it_is_published(pricing: Api) -> None:
    plan = pricing.made(PLANS, PRO)["id"]
    draft = pricing.made(f"{PLANS}/{plan}/versions", {"baseFee": 59})
    assert (draft["version"], draft["status"], draft["baseFee"]) == (2, "DRAFT", "59")
    assert pricing.get(f"{PLANS}/{plan}").json()["data"]["baseFee"] == "49"
    pricing.patch(f"{PLANS}/{plan}/versions/2", {"baseFee": 69})
    done = pricing.made(f"{PLANS}/{plan}/versions/2/publish")
    assert (done["status"], done["baseFee"]) == ("PUBLISHED", "69")
    assert pricing.get(f"{PLANS}/{plan}").json()["data"]["version"] == 2
    assert [each["version"] for each in pricing.get(f"{PLANS}/{plan}/versions").json()["data"]] == [2, 1]
    assert pricing.get(f"{PLANS}/{plan}/versions/1").json()["data"]["baseFee"] == "49"


def test_a_published_version_never_changes(pricing: Api) -> None:
    plan = pricing.made(PLANS, PRO)["id"]
    problem(pricing.put(f"{PLANS}/{plan}/versions/1", PRO), 409, "VERSION_PUBLISHED")
    problem(pricing.post(f"{PLANS}/{plan}/versions/1/publish"), 409, "VERSION_PUBLISHED")
    problem(pricing.post(f"{PLANS}/{plan}/versions/7/publish"), 404, "RATE_PLAN_NOT_FOUND")


def test_a_plan_may_begin_as_a_draft(pricing: Api) -> None:
    made = pricing.made(PLANS, {**PRO, "status": "DRAFT"})
    assert (made["version"], made["status"], made["draftVersion"]) == (1, "DRAFT", 1)
    plan = f"{PLANS}/{made['id']}"
    assert pricing.patch(plan, {"baseFee": 50}).json()["data"]["status"] == "DRAFT"
    assert pricing.made(f"{plan}/versions/1/publish", {"effectiveAt": "2030-01-01T00:00:00Z"})["effectiveAt"]
    assert pricing.get(plan).json()["data"]["baseFee"] == "50"


def test_two_versions_are_told_apart_leaf_by_leaf(pricing: Api) -> None:
    plan = pricing.made(PLANS, PRO)["id"]
    dearer = [PRO["metricConfigs"][1] | {"rate": 0.000004}, PRO["metricConfigs"][0]]
    assert pricing.patch(f"{PLANS}/{plan}", {"metricConfigs": dearer}).json()["data"]["version"] == 2
    changes = pricing.get(f"{PLANS}/{plan}/diff?from=1&to=2").json()["data"]["changes"]
    assert changes == [{"path": "prices.tokens.rate", "before": "0.000003", "after": "0.000004"}]


def test_a_description_is_no_new_version_and_a_currency_is_no_edit(pricing: Api) -> None:
    plan = pricing.made(PLANS, PRO)["id"]
    assert pricing.patch(f"{PLANS}/{plan}", {"description": "New"}).json()["data"]["version"] == 1
    problem(pricing.patch(f"{PLANS}/{plan}", {"currency": "EUR"}), 409, "CURRENCY_FIXED")


def test_an_edit_on_an_old_revision_is_refused(pricing: Api) -> None:
    made = pricing.post(PLANS, PRO)
    plan, tag = made.json()["data"]["id"], made.headers["ETag"]
    assert pricing.patch(f"{PLANS}/{plan}", {"baseFee": 50}, if_match=tag).status_code == 200
    problem(pricing.patch(f"{PLANS}/{plan}", {"baseFee": 51}, if_match=tag), 412)


def test_the_rate_limit_is_a_version_of_its_own(pricing: Api) -> None:
    plan = pricing.made(PLANS, PRO)["id"]
    address = f"/api/v1/rate-plans/{plan}/rate-limit"
    assert pricing.get(address).json()["data"]["requests"] is None
    assert pricing.put(address, {"requests": 600}).json()["data"] == {
        "ratePlanId": plan, "requests": 600, "windowSeconds": 60, "burst": 0,
    }  # fmt: skip
    assert pricing.get(address).json()["data"]["requests"] == 600
    assert pricing.get(f"{PLANS}/{plan}").json()["data"]["version"] == 2


def test_the_calculator_charges_what_the_plan_says(pricing: Api) -> None:
    plan = pricing.made(PLANS, PRO)["id"]
    body = {"quantities": {"API Calls": 15000, "tokens": "1000000"}}
    data = pricing.post(f"{PLANS}/{plan}/price", body).json()["data"]
    assert [(line["metricId"], line["amount"]) for line in data["lines"]] == [
        (None, "49.00"), ("calls", "107.00"), ("tokens", "3.00"),
    ]  # fmt: skip
    assert [band["quantity"] for band in data["lines"][1]["tiers"]] == ["1000", "9000", "5000"]
    assert data["total"] == "159"
    problem(pricing.post(f"{PLANS}/{plan}/price", {"quantities": {"nope": 1}}), 422, field="quantities.nope")


@pytest.mark.parametrize(
    ("agreed", "left_out"),
    [
        ({}, []),
        ({"setupFee": 100}, ["setupFee"]),
        ({"baseFeeTiming": "ADVANCE"}, ["baseFeeTiming"]),
        ({"commitment": {"type": "MONTHLY", "amount": 500, "termMonths": 12}}, []),
        (
            {
                "metricConfigs": [
                    {"metricName": "API Calls", "includedFree": 10, "rate": 1, "rollover": {"cap": 5}}
                ]
            },
            ["rollover"],
        ),
    ],
)
def test_the_calculator_names_what_it_leaves_out(
    pricing: Api, agreed: dict[str, Any], left_out: list[str]
) -> None:
    plan = pricing.made(PLANS, {**PRO, **agreed})["id"]
    data = pricing.post(f"{PLANS}/{plan}/price", {"quantities": {"API Calls": 1}}).json()["data"]
    assert data["notIncluded"] == left_out


def test_another_tenants_plan_does_not_exist(pricing: Api) -> None:
    plan = pricing.made(PLANS, PRO)["id"]
    for path in ("", "/versions", "/versions/1", "/diff?from=1&to=1"):
        problem(pricing.get(f"{PLANS}/{plan}{path}", tenant="rival"), 404, "RATE_PLAN_NOT_FOUND")
    problem(pricing.delete(f"{PLANS}/{plan}", tenant="rival"), 404)
    problem(pricing.post(PLANS, {**PRO, "id": plan}), 409, "RATE_PLAN_EXISTS")
