"""Offerings over HTTP: the fields existing clients send and read, states, and what stays under subscribers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.control.conftest import Api, problem

OFFERINGS = "/api/v1/offerings"


@pytest.fixture
def priced(api: Api) -> Api:
    """A metric, and the plans `pro` and `extra` in USD and `euro` in EUR."""
    api.made("/api/v1/metrics", {"key": "calls", "name": "API Calls", "aggregationType": "COUNT"})
    for plan, currency in (("pro", "USD"), ("extra", "USD"), ("euro", "EUR")):
        body = {"id": plan, "name": plan, "currency": currency, "baseFee": 5}
        assert api.made("/api/v1/rateplans", body)["id"] == plan
    return api


def body(**more: Any) -> dict[str, Any]:
    return {
        "code": "pro", "name": "Pro", "description": "For teams", "type": "STANDALONE", "status": "ACTIVE",
        "primaryRatePlanId": "pro", "billingMode": "POSTPAID", "currency": "USD", "trialDays": 14, **more,
    }  # fmt: skip


def subscribed(api: Api, offering: str = "pro") -> str:
    customer = {
        "id": "ann",
        "name": "Ann",
        "email": "ann@example.com",
        "plan": "STANDARD",
        "defaultCurrency": "USD",
    }
    api.made("/api/v1/customers", customer)
    sent = {"customerId": "ann", "offeringId": offering, "billingCycle": "MONTHLY", "startDate": "2026-01-01"}
    return str(api.made("/api/v1/subscriptions", sent)["id"])


def test_an_offering_is_created_and_read_back_as_it_was_sent(priced: Api) -> None:
    made = priced.made(OFFERINGS, body())
    assert (made["id"], made["code"], made["name"]) == ("pro", "pro", "Pro")
    assert {name: made[name] for name in body()} == body()
    assert priced.get(OFFERINGS).json()["data"] == [made]
    assert priced.get(f"{OFFERINGS}/pro").json()["data"] == made
    assert priced.put(f"{OFFERINGS}/pro", made).json()["data"] == made, "an answer sent back changes nothing"


def test_a_code_is_given_once_per_tenant(priced: Api) -> None:
    priced.made(OFFERINGS, body())
    problem(priced.post(OFFERINGS, body()), 409, "OFFERING_EXISTS")
    assert priced.made(OFFERINGS, body(code=None))["code"].startswith("off_")
    problem(priced.get(f"{OFFERINGS}/pro", tenant="rival"), 404, "OFFERING_NOT_FOUND")


def test_a_deleted_offering_is_archived(priced: Api) -> None:
    priced.made(OFFERINGS, body())
    assert priced.delete(f"{OFFERINGS}/pro").status_code == 204
    assert priced.get(OFFERINGS).json()["data"] == []
    assert priced.get(f"{OFFERINGS}?includeArchived=true").json()["data"][0]["status"] == "ARCHIVED"


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"primaryRatePlanId": "nope"}, "primaryRatePlanId"),
        ({"primaryRatePlanId": "euro"}, "currency"),
        ({"ratePlanIds": ["pro", "extra"]}, "ratePlanIds"),
        ({"billingMode": "LATER"}, "billingMode"),
        ({"trialDays": 1000}, "trialDays"),
        ({"fxStrategy": "NEVER"}, "fxStrategy"),
        ({"escrowConfig": {"behavior": "SHOUT"}}, "escrowConfig.behavior"),
        ({"entitlements": [{"feature": "f", "metricId": "nope"}]}, "entitlements[0].metricId"),
        ({"entitlements": [{"feature": "f"}, {"feature": "f"}]}, "entitlements[1].feature"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_an_offering_that_makes_no_sense_is_refused_by_field(
    priced: Api, more: dict[str, Any], field: str
) -> None:
    problem(priced.post(OFFERINGS, body(**more)), 422, field=field)


def test_every_term_is_kept_and_read_back(priced: Api) -> None:
    terms = {
        "type": "BUNDLE", "ratePlanIds": ["pro", "extra"], "billingMode": "PREPAID", "fxStrategy": "LIVE_RATE",
        "escrowConfig": {"lowBalanceThreshold": "20.5", "behavior": "ALERT"},
        "entitlements": [
            {"feature": "sso", "type": "BOOLEAN", "enabled": True},
            {"feature": "seats", "type": "STATIC", "enabled": True, "value": "5"},
            {
                "feature": "calls", "type": "METERED", "enabled": True, "metricId": "calls", "limit": "100", "hard": False,
                "reset": "BILLING_PERIOD",
            },
        ],
    }  # fmt: skip
    made = priced.made(OFFERINGS, body(**terms))
    assert {name: made[name] for name in terms} == terms


def test_only_legal_moves_change_the_state(priced: Api) -> None:
    priced.made("/api/v1/rateplans", {"id": "new", "name": "New", "baseFee": 1, "status": "DRAFT"})
    priced.made(OFFERINGS, body(status="DRAFT", primaryRatePlanId="new"))
    problem(priced.post(f"{OFFERINGS}/pro/activate"), 409, "RATE_PLAN_NOT_PUBLISHED")
    priced.made("/api/v1/rateplans/new/versions/1/publish")
    assert priced.made(f"{OFFERINGS}/pro/activate")["status"] == "ACTIVE"
    problem(priced.patch(f"{OFFERINGS}/pro", {"status": "DRAFT"}), 409, "OFFERING_STATE_CONFLICT")
    assert priced.made(f"{OFFERINGS}/pro/archive")["status"] == "ARCHIVED"
    problem(priced.post(f"{OFFERINGS}/pro/activate"), 409, "OFFERING_STATE_CONFLICT")


def test_what_subscribers_were_sold_stays(priced: Api) -> None:
    priced.made(OFFERINGS, body(type="BUNDLE", ratePlanIds=["pro", "extra"]))
    subscribed(priced)
    for change in (
        {"ratePlanIds": ["pro"]},
        {"primaryRatePlanId": "extra"},
        {"currency": "EUR", "primaryRatePlanId": "euro"},
    ):
        answer = priced.patch(f"{OFFERINGS}/pro", change)
        assert answer.status_code in (409, 422), answer.text
    problem(priced.patch(f"{OFFERINGS}/pro", {"ratePlanIds": ["pro"]}), 409, "OFFERING_IN_USE")
    problem(priced.delete(f"{OFFERINGS}/pro"), 409, "OFFERING_IN_USE")
    problem(priced.delete("/api/v1/rateplans/extra"), 409, "RATE_PLAN_IN_USE")
    assert priced.patch(f"{OFFERINGS}/pro", {"name": "Pro 2"}).json()["data"]["name"] == "Pro 2"


def test_a_new_version_is_for_new_subscribers_from_its_day_on(priced: Api) -> None:
    """Published for later: who starts before it is pinned to the version before."""
    priced.made(OFFERINGS, body())
    priced.made("/api/v1/rateplans/pro/versions", {"baseFee": 9})
    priced.made("/api/v1/rateplans/pro/versions/2/publish", {"effectiveAt": "2026-06-01T00:00:00Z"})
    before = subscribed(priced)
    assert priced.get(f"/api/v1/subscriptions/{before}").json()["data"]["planVersion"] == 1
