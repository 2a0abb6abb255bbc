"""Changes of offering at the management door: previews to the cent, upgrades, downgrades, migrations."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import insert

from storage.database import session_scope
from storage.tables.operations import BillRequestRow
from tests.api.control.conftest import Api, problem
from tests.api.control.subscription_world import SUBSCRIPTIONS, fill, subscribed


@pytest.fixture(autouse=True)
def _world(api: Api) -> None:
    fill(api)


def act(api: Api, subscription: str, what: str, **body: Any) -> Any:
    return api.post(f"{SUBSCRIPTIONS}/{subscription}/{what}", body)


def fraction_left(made: dict[str, Any], at: str) -> tuple[timedelta, timedelta]:
    start, end = (datetime.fromisoformat(made[f"currentPeriod{side}"]) for side in ("Start", "End"))
    return end - datetime.fromisoformat(at), end - start


def test_a_preview_states_credit_charge_net_and_renewal(api: Api) -> None:
    made = subscribed(api, startDate="2026-01-01")
    told = act(api, made["id"], "preview-change", targetOfferingId="max").json()["data"]
    left, whole = fraction_left(made, told["effectiveAt"])
    assert (left.microseconds, told["changeType"], told["currency"]) == (0, "UPGRADE", "USD")
    cents = [
        (Decimal(fee) * 100 * (left // timedelta(seconds=1))) / (whole // timedelta(seconds=1))
        for fee in (30, 90)
    ]
    assert [told["creditCents"], told["chargeCents"]] == [round(each) for each in cents]
    assert told["netDueTodayCents"] == told["chargeCents"] - told["creditCents"]
    assert Decimal(told["credit"]) * 100 == told["creditCents"]
    assert (told["nextRenewalAmount"], told["nextRenewalAmountCents"]) == ("90.00", 9000)
    assert f"{told['nextRenewalDate']}T00:00:00Z" == made["currentPeriodEnd"]
    assert told["summary"].startswith(f"Upgrading from Pro to Max now credits {told['credit']} USD")
    assert api.get(f"{SUBSCRIPTIONS}/{made['id']}").json()["data"]["offeringId"] == "pro", (
        "nothing was changed"
    )


def test_a_preview_of_a_change_at_the_periods_end_costs_nothing_today(api: Api) -> None:
    made = subscribed(api, "max", startDate="2026-01-01")
    body = {"targetOfferingId": "pro", "effective": "PERIOD_END"}
    told = act(api, made["id"], "preview-change", **body).json()["data"]
    assert (told["changeType"], told["effectiveAt"]) == ("DOWNGRADE", made["currentPeriodEnd"])
    assert (told["creditCents"], told["chargeCents"], told["netDueTodayCents"]) == (0, 0, 0)
    assert told["nextRenewalAmount"] == "30.00"


def test_a_trial_changes_offering_free_of_charge_and_keeps_its_days(api: Api) -> None:
    made = subscribed(api, startTrial=True)
    told = act(api, made["id"], "preview-change", targetOfferingId="max").json()["data"]
    assert told["netDueTodayCents"] == 0
    moved = act(api, made["id"], "upgrade", targetOfferingId="max").json()["data"]
    assert (moved["status"], moved["trialEndsAt"]) == ("TRIALING", made["trialEndsAt"])


def test_an_upgrade_is_made_in_place_and_pins_the_new_plan(api: Api) -> None:
    made = subscribed(api, startDate="2026-01-01")
    moved = act(api, made["id"], "upgrade", targetOfferingId="max", reason="grew").json()["data"]
    assert (moved["id"], moved["status"], moved["offeringId"]) == (made["id"], "ACTIVE", "max")
    assert (moved["planVersionId"], moved["createdAt"]) == ("max:1", made["createdAt"])
    phases = api.get(f"{SUBSCRIPTIONS}/{made['id']}/phases").json()["data"]
    assert [(phase["state"], phase["offeringId"]) for phase in phases] == [
        ("ACTIVE", "pro"),
        ("ACTIVE", "max"),
    ]
    assert phases[1]["startsAt"] == moved["change"]["effectiveAt"]


def test_the_direction_asked_for_must_be_the_real_one(api: Api) -> None:
    made = subscribed(api)
    problem(act(api, made["id"], "downgrade", targetOfferingId="max"), 409, "WRONG_DIRECTION")
    problem(act(api, made["id"], "upgrade", targetOfferingId="pro"), 409, "SAME_OFFERING")
    problem(act(api, made["id"], "upgrade", targetOfferingId="nothing"), 422, field="targetOfferingId")


def test_a_change_at_the_periods_end_waits_for_it(api: Api) -> None:
    made = subscribed(api, "max")
    kept = act(api, made["id"], "downgrade", targetOfferingId="pro", effective="PERIOD_END").json()["data"]
    assert kept["offeringId"] == "max"
    assert kept["scheduledChange"]["offeringId"] == "pro"
    assert kept["scheduledChange"]["at"] == made["currentPeriodEnd"]


def test_a_change_may_not_price_what_another_subscription_prices(api: Api) -> None:
    subscribed(api)
    team = subscribed(api, "team")
    problem(act(api, team["id"], "upgrade", targetOfferingId="max"), 409, "UNIT_ALREADY_PRICED")
    problem(act(api, team["id"], "upgrade", targetOfferingId="pro"), 409, "ALREADY_SUBSCRIBED")


def test_a_migration_keeps_the_subscription_and_says_what_it_refunds(api: Api) -> None:
    made = subscribed(api, "max", startDate="2026-01-01")
    told = act(
        api,
        made["id"],
        "migrate-with-proration",
        targetOfferingId="pro",
        reason="less",
        autoSettleRefund=True,
    ).json()["data"]
    assert told["sourceSubscriptionId"] == told["targetSubscriptionId"] == made["id"]
    assert told["calendarRefundUsd"] == told["calendarRefund"]["amount"]
    assert Decimal(told["calendarRefundUsd"]) == -Decimal(told["preview"]["netDueToday"])
    assert told["walletRefund"] == {"walletBalance": None}
    assert (told["offeringId"], told["status"]) == ("pro", "ACTIVE")


def test_a_paused_subscription_migrates_but_is_not_upgraded(api: Api) -> None:
    made = subscribed(api)
    act(api, made["id"], "pause")
    problem(act(api, made["id"], "upgrade", targetOfferingId="max"), 409, "ILLEGAL_TRANSITION")
    moved = act(api, made["id"], "migrate-with-proration", targetOfferingId="max").json()["data"]
    assert (moved["offeringId"], moved["status"]) == ("max", "PAUSED")


@pytest.mark.parametrize("status", ["QUEUED", "RUNNING"])
def test_nothing_migrates_while_the_tenant_is_billed(api: Api, status: str) -> None:
    made = subscribed(api)
    row = {"tenant_id": "acme", "id": "br_1", "month": "2026-01", "customers": [], "auto_finalize": False}
    counts = {"invoices_generated": 0, "customers_processed": 0}
    with session_scope(api.database_url) as session:
        session.execute(insert(BillRequestRow), row | counts | {"requested_by": "x", "status": status})
    answer = act(api, made["id"], "migrate-with-proration", targetOfferingId="max")
    problem(answer, 409, "BILL_RUN_IN_PROGRESS")
