"""Limits on usage of one subscription, at the management door."""

from __future__ import annotations

import pytest

from tests.api.control.conftest import Api, problem
from tests.api.control.subscription_world import SUBSCRIPTIONS, fill, subscribed

LIMIT = {"unit": "calls", "limit": "500", "ovBehavior": "BLOCK"}


@pytest.fixture(autouse=True)
def _world(api: Api) -> None:
    fill(api)


def test_a_limit_is_agreed_replaced_and_taken_away(api: Api) -> None:
    made = subscribed(api, usageLimits=[{"metricName": "calls", "limit": 500}])
    path = f"{SUBSCRIPTIONS}/{made['id']}/usage-limits"
    assert made["usageLimits"] == [LIMIT]
    changed = api.put(path, {"usageLimits": [{**LIMIT, "ovBehavior": "IGNORE"}]}).json()["data"]
    assert (changed["usageLimits"][0]["ovBehavior"], changed["revision"]) == ("IGNORE", made["revision"] + 1)
    again = api.put(path, {"usageLimits": [{**LIMIT, "ovBehavior": "IGNORE"}]}).json()["data"]
    assert again["revision"] == changed["revision"], "nothing changed"
    problem(api.put(path, {"usageLimits": []}, if_match=f'"{made["revision"]}"'), 412)
    assert api.put(path, {"usageLimits": []}).json()["data"]["usageLimits"] == []
    entries = api.get(f"/api/v1/audit-log?targetId={made['id']}").json()["data"]
    assert [each["action"] for each in entries].count("SUBSCRIPTION_LIMITED") == 2


def test_a_limit_on_what_the_plan_does_not_price_is_refused(api: Api) -> None:
    body = {"customerId": "ann", "offeringId": "pro", "usageLimits": [{"unit": "seats", "limit": 5}]}
    problem(api.post(SUBSCRIPTIONS, body), 422, field="usageLimits[0].unit")
    made = subscribed(api)
    path = f"{SUBSCRIPTIONS}/{made['id']}/usage-limits"
    problem(api.put(path, {"usageLimits": [{"unit": "calls", "limit": -1}]}), 422)
    problem(api.put(path, {"usageLimits": [LIMIT]}, tenant="rival"), 404, "SUBSCRIPTION_NOT_FOUND")
    api.post(f"{SUBSCRIPTIONS}/{made['id']}/cancel", {})
    problem(api.put(path, {"usageLimits": [LIMIT]}), 409, "SUBSCRIPTION_OVER")


def test_a_limit_in_money_stands_beside_them_and_goes_with_them(api: Api) -> None:
    made = subscribed(api, spendLimit={"amount": 500})
    path = f"{SUBSCRIPTIONS}/{made['id']}/usage-limits"
    assert made["spendLimit"] == {"amount": "500", "ovBehavior": "BLOCK"}
    both = {"usageLimits": [LIMIT], "spendLimit": {"amount": "80.5", "ovBehavior": "IGNORE"}}
    changed = api.put(path, both).json()["data"]
    assert {name: changed[name] for name in both} == both
    assert api.put(path, both).json()["data"]["revision"] == changed["revision"], "nothing changed"
    assert api.put(path, {"usageLimits": []}).json()["data"]["spendLimit"] is None
    problem(api.put(path, {"usageLimits": [], "spendLimit": {"amount": -1}}), 422, field="spendLimit.amount")
