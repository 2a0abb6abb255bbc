"""Bill runs at the management door: whom they are for, LIVE and TEST, and one at a time."""

from __future__ import annotations

from typing import Any

import pytest

from storage.bill_claims import BillClaim
from storage.database import engine_of, session_scope
from storage.repositories.bill_requests import finished, keep_result, progressed, started
from storage.scope import Scope
from storage.tables.operations import BillRequestRow
from tests.api.control.conftest import Api, problem
from tests.api.control.subscription_world import fill, subscribed

RUNS = "/api/v1/bill-runs"
MONTH = {"billingPeriodStart": "2026-01-01T00:00:00Z", "billingPeriodEnd": "2026-02-01T00:00:00Z"}


@pytest.fixture(autouse=True)
def _world(api: Api) -> None:
    fill(api)


def asked(api: Api, **body: Any) -> dict[str, Any]:
    made: dict[str, Any] = api.made(RUNS, {**MONTH, **body})
    return made


def test_a_run_of_a_subscription_or_an_offering_is_for_the_customers_that_have_it(api: Api) -> None:
    made = subscribed(api, startDate="2026-01-01")
    of_subscription = asked(api, targetScope="SUBSCRIPTION", subscriptionIds=[made["id"]])
    of_offering = asked(api, targetScope="OFFERING", offeringIds=[made["offeringId"]])
    of_customer = asked(api, targetScope="CUSTOMER", customerIds=[made["customerId"]])
    for run, target in (
        (of_subscription, made["id"]),
        (of_offering, made["offeringId"]),
        (of_customer, made["customerId"]),
    ):
        assert (run["customerIds"], run["targetIds"]) == ([made["customerId"]], [target])
    assert of_offering["targetScope"] == "OFFERING"


def test_who_has_left_an_offering_is_still_one_of_its_customers(api: Api) -> None:
    made = subscribed(api, startDate="2026-01-01")
    left = made["offeringId"]
    api.made(f"/api/v1/subscriptions/{made['id']}/upgrade", {"targetOfferingId": "max"})
    assert asked(api, targetScope="OFFERING", offeringIds=[left])["customerIds"] == [made["customerId"]]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"targetScope": "CUSTOMER"}, "customerIds"),
        ({"targetScope": "SUBSCRIPTION", "subscriptionIds": ["sub_nobody"]}, "subscriptionIds[0]"),
        ({"targetScope": "OFFERING", "customerIds": ["cus_1"]}, "customerIds"),
        ({"targetScope": "OFFERING", "offeringIds": ["max"]}, "offeringIds"),
        ({"offeringIds": ["max"]}, "offeringIds"),
        ({"environment": "TEST", "autoFinalize": True}, "autoFinalize"),
        ({"environment": "SANDBOX"}, "environment"),
    ],
)
def test_what_does_not_fit_is_refused_by_field(api: Api, body: dict[str, Any], field: str) -> None:
    problem(api.post(RUNS, {**MONTH, **body}), 422, field=field)


def test_another_tenants_offering_is_nobodys(api: Api) -> None:
    subscribed(api, startDate="2026-01-01")
    answer = api.post(RUNS, {**MONTH, "targetScope": "OFFERING", "offeringIds": ["pro"]}, tenant="rival")
    problem(answer, 422, field="offeringIds[0]")


def test_of_two_runs_executed_one_is_queued_and_the_other_refused(api: Api) -> None:
    one, other = asked(api)["id"], asked(api)["id"]
    assert api.post(f"{RUNS}/{one}/execute").status_code == 202
    assert api.post(f"{RUNS}/{one}/execute").status_code == 202, "executing it again changes nothing"
    problem(api.post(f"{RUNS}/{other}/execute"), 409, "BILL_RUN_IN_PROGRESS")


def test_a_trial_run_under_way_stands_in_nobodys_way(api: Api) -> None:
    trial, run, another = (
        asked(api, environment="TEST")["id"],
        asked(api)["id"],
        asked(api, environment="TEST")["id"],
    )
    for each in (trial, run, another):
        assert api.post(f"{RUNS}/{each}/execute").status_code == 202


def test_a_run_started_elsewhere_counts_too(api: Api) -> None:
    run = asked(api)["id"]
    claim = BillClaim(engine_of(api.database_url))
    claim.hold(Scope("2026-01"))
    try:
        problem(api.post(f"{RUNS}/{run}/execute"), 409, "BILL_RUN_IN_PROGRESS")
        trial = asked(api, environment="TEST")["id"]
        assert api.post(f"{RUNS}/{trial}/execute").status_code == 202, "a dry run disturbs nobody"
    finally:
        claim.release()


def test_a_run_shows_its_progress_its_failures_and_a_trial_its_result(api: Api) -> None:
    run = asked(api, environment="TEST")["id"]
    api.post(f"{RUNS}/{run}/execute")
    problem(api.get(f"{RUNS}/{run}/result"), 404, "BILL_RUN_HAS_NO_RESULT")
    result: dict[str, Any] = {name: [] for name in ("invoices", "held", "totals", "gates")}
    result |= {"month": "2026-01", "environment": "TEST", "rows": {"rated_lines": 3}}
    with session_scope(api.database_url) as session:
        started(session, "acme", run, "dagster-1")
        progressed(session, session.get_one(BillRequestRow, ("acme", run)), 40)
    assert api.get(f"{RUNS}/{run}").json()["data"]["progressPct"] == 40
    failures = [{"customerId": "cus_1", "reason": "NO_PRICE: calls"}]
    with session_scope(api.database_url) as session:
        keep_result(session, "acme", run, result)
        finished(session, "acme", run, "PARTIALLY_FAILED", failures=failures, error="1 held")
    told = api.get(f"{RUNS}/{run}").json()["data"]
    assert (told["status"], told["progressPct"], told["failures"]) == ("PARTIALLY_FAILED", 100, failures)
    assert api.get(f"{RUNS}/{run}/result").json()["data"] == result
    problem(api.get(f"{RUNS}/{run}/result", tenant="rival"), 404, "BILL_RUN_NOT_FOUND")
