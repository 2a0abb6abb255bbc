"""Subscriptions at the management door: agreeing, listing, and moving them from state to state."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import select

from storage.database import session_scope
from storage.tables.keys import ApiKeyRow, KeySubscriptionRow
from tests.api.control.conftest import Api, problem
from tests.api.control.subscription_world import SUBSCRIPTIONS, fill, subscribed


@pytest.fixture(autouse=True)
def _world(api: Api) -> None:
    fill(api)


def act(api: Api, subscription: str, what: str, body: Any = None) -> Any:
    return api.post(f"{SUBSCRIPTIONS}/{subscription}/{what}", body)


def status(api: Api, subscription: str) -> str:
    return str(api.get(f"{SUBSCRIPTIONS}/{subscription}").json()["data"]["status"])


def states(api: Api, subscription: str) -> list[str]:
    phases = api.get(f"{SUBSCRIPTIONS}/{subscription}/phases").json()["data"]
    assert [phase["number"] for phase in phases] == list(range(1, len(phases) + 1))
    assert all(a["endsAt"] == b["startsAt"] for a, b in pairwise(phases))
    return [phase["state"] for phase in phases]


def test_a_subscription_without_a_trial_lands_active(api: Api) -> None:
    answer = api.post(
        SUBSCRIPTIONS,
        {"offeringId": "pro", "customerId": "ann", "billingCycle": "QUARTERLY", "startDate": "2026-01-31"},
    )
    assert answer.status_code == 201, answer.text
    data = answer.json()["data"]
    assert (data["customerId"], data["offeringId"], data["status"]) == ("ann", "pro", "ACTIVE")
    assert (data["billingCycle"], data["billingAnchorDay"], data["planVersionId"]) == (
        "QUARTERLY",
        31,
        "pro:1",
    )
    assert data["id"].startswith("sub_")
    assert datetime.fromisoformat(data["createdAt"])
    assert answer.headers["etag"] == '"1"'
    assert api.get(f"{SUBSCRIPTIONS}/{data['id']}").json()["data"] == data
    assert states(api, data["id"]) == ["ACTIVE"]


def test_what_is_left_out_is_today_and_monthly(api: Api) -> None:
    made = subscribed(api, billingAnchorDay=3, autoConvertPaid=False)
    assert made["billingCycle"] == "MONTHLY"
    assert made["startDate"] == datetime.now(UTC).date().isoformat()
    assert (made["billingAnchorDay"], made["autoConvertPaid"]) == (3, False)


def test_a_trial_lasts_the_offerings_days_or_until_the_given_instant(api: Api) -> None:
    today = datetime.now(UTC).date()
    by_days = subscribed(api, startTrial=True)
    assert (by_days["status"], by_days["trialEndsAt"]) == (
        "TRIALING",
        f"{today + timedelta(days=14)}T00:00:00Z",
    )
    end = datetime.now(UTC) + timedelta(days=3)
    by_instant = subscribed(api, "team", startTrial=True, trialEndsAt=end.isoformat())
    assert by_instant["status"] == "TRIALING"
    without = api.post(SUBSCRIPTIONS, {"customerId": "bob", "offeringId": "max", "startTrial": True})
    problem(without, 422, field="trialEndsAt")


def test_a_trial_that_is_over_has_converted(api: Api) -> None:
    made = subscribed(api, startDate="2026-01-01", startTrial=True)
    assert states(api, made["id"]) == ["TRIALING", "ACTIVE"]
    paused = subscribed(
        api, "team", startDate="2026-01-01", trialEndsAt="2026-01-05T00:00:00Z", autoConvertPaid=False
    )
    assert states(api, paused["id"]) == ["TRIALING", "PAUSED"]


def test_one_that_starts_later_is_created_and_one_that_is_over_expired(api: Api) -> None:
    later = (datetime.now(UTC) + timedelta(days=9)).date().isoformat()
    assert subscribed(api, startDate=later)["status"] == "CREATED"
    assert subscribed(api, "team", startDate="2026-01-01", endDate="2026-02-01")["status"] == "EXPIRED"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"offeringId": "pro"}, "customerId"),
        ({"customerId": "ann"}, "offering"),
        ({"customerId": "nobody", "offeringId": "pro"}, "customerId"),
        ({"customerId": "ann", "offeringId": "nothing"}, "offeringId"),
        ({"customerId": "ann", "offeringId": "pro", "billingCycle": "WEEKLY"}, "billingCycle"),
        ({"customerId": "ann", "offeringId": "pro", "startDate": "2026-02-30"}, "startDate"),
        ({"customerId": "ann", "offeringId": "pro", "billingAnchorDay": 32}, "billingAnchorDay"),
        ({"customerId": "ann", "offeringId": "pro", "startTrial": False, "trialEndsAt": 1}, "trialEndsAt"),
        (
            {"customerId": "ann", "offeringId": "pro", "startDate": "2026-02-02", "endDate": "2026-02-02"},
            "endDate",
        ),
        ({"customerId": "ann", "offeringId": "pro", "billingEntityId": "moon"}, "billingEntityId"),
        ({"customerId": "ann", "offeringId": "pro", "price": 1}, "price"),
    ],
)
def test_a_field_that_is_wrong_is_named(api: Api, body: dict[str, Any], field: str) -> None:
    problem(api.post(SUBSCRIPTIONS, body), 422, field=field)


def test_only_active_offerings_are_sold(api: Api) -> None:
    answer = api.post(SUBSCRIPTIONS, {"customerId": "ann", "offeringId": "draft"})
    problem(answer, 409, "OFFERING_NOT_ACTIVE")


def test_a_customer_cannot_hold_the_same_offering_twice(api: Api) -> None:
    first = subscribed(api)
    again = {"customerId": "ann", "offeringId": "pro"}
    problem(api.post(SUBSCRIPTIONS, again), 409, "ALREADY_SUBSCRIBED")
    subscribed(api, customer="bob")
    assert act(api, first["id"], "cancel").json()["data"]["status"] == "CANCELLED"
    assert subscribed(api)["startsAt"] > first["startsAt"], "what was used before is the ended one's"


def test_of_fifty_at_once_exactly_one_subscribes(api: Api) -> None:
    def subscribe(_: int) -> int:
        return int(api.post(SUBSCRIPTIONS, {"customerId": "ann", "offeringId": "pro"}).status_code)

    with ThreadPoolExecutor(50) as pool:
        codes = list(pool.map(subscribe, range(50)))
    assert sorted(set(codes)) == [201, 409]
    assert codes.count(201) == 1


def test_two_live_subscriptions_may_not_price_the_same_unit(api: Api) -> None:
    subscribed(api)
    problem(api.post(SUBSCRIPTIONS, {"customerId": "ann", "offeringId": "max"}), 409, "UNIT_ALREADY_PRICED")
    assert subscribed(api, "team")["status"] == "ACTIVE"


def test_lists_are_filtered_and_paged(api: Api) -> None:
    ann, bob = subscribed(api), subscribed(api, customer="bob")
    team = subscribed(api, "team")

    def listed(query: str) -> list[str]:
        return [each["id"] for each in api.get(f"{SUBSCRIPTIONS}?{query}").json()["data"]]

    assert listed("customerId=ann") == [ann["id"], team["id"]]
    assert listed("offeringId=pro") == [ann["id"], bob["id"]]
    assert listed("status=CANCELLED") == []
    assert listed("size=1&page=1") == [bob["id"]]
    assert api.get(f"{SUBSCRIPTIONS}?customerId=ann", tenant="rival").json()["data"] == []


def test_strangers_find_nothing(api: Api) -> None:
    made = subscribed(api)
    problem(api.get(f"{SUBSCRIPTIONS}/{made['id']}", tenant="rival"), 404, "SUBSCRIPTION_NOT_FOUND")
    problem(api.post(f"{SUBSCRIPTIONS}/{made['id']}/cancel", tenant="rival"), 404)


def test_pause_and_resume(api: Api) -> None:
    made = subscribed(api)["id"]
    assert act(api, made, "pause", {"reason": "holidays"}).json()["data"]["status"] == "PAUSED"
    assert act(api, made, "pause").json()["data"]["status"] == "PAUSED", "the same state changes nothing"
    assert act(api, made, "resume").json()["data"]["status"] == "ACTIVE"
    assert states(api, made) == ["ACTIVE", "PAUSED", "ACTIVE"]
    assert api.get(f"{SUBSCRIPTIONS}/{made}/phases").json()["data"][1]["reason"] == "holidays"


def test_a_trial_is_converted_once(api: Api) -> None:
    made = subscribed(api, startTrial=True)["id"]
    for _ in range(2):
        assert act(api, made, "convert-trial").json()["data"]["status"] == "ACTIVE"
    assert states(api, made) == ["TRIALING", "ACTIVE"]


def test_an_illegal_move_is_a_conflict_that_says_what_is_possible(api: Api) -> None:
    made = subscribed(api)["id"]
    act(api, made, "cancel")
    detail = problem(act(api, made, "resume"), 409, "ILLEGAL_TRANSITION")["detail"]
    assert "is CANCELLED" in detail
    assert "it has ended" in detail
    assert act(api, made, "cancel").json()["data"]["status"] == "CANCELLED"


def test_cancelling_at_the_periods_end_keeps_it_until_then_and_can_be_called_off(api: Api) -> None:
    made = subscribed(api)
    ended = act(api, made["id"], "cancel", {"reason": "bye", "effective": "PERIOD_END"}).json()["data"]
    assert (ended["status"], ended["cancelAt"]) == ("EXPIRING_SOON", made["currentPeriodEnd"])
    resumed = act(api, made["id"], "resume").json()["data"]
    assert (resumed["status"], resumed["cancelAt"]) == ("ACTIVE", None)


def test_cancelling_revokes_the_subscriptions_keys_with_it(api: Api) -> None:
    made = subscribed(api)["id"]
    key = {"tenant_id": "acme", "id": "key_1", "name": "k", "customer_id": "ann", "environment": "live"}
    with session_scope(api.database_url) as session:
        session.add(ApiKeyRow(**key, status="ACTIVE", prefix="sk_live_", secret_sha256="0" * 64))
        session.flush()
        session.add(KeySubscriptionRow(tenant_id="acme", key_id="key_1", subscription_id=made))
    act(api, made, "cancel", {"reason": "bye"})
    with session_scope(api.database_url) as session:
        assert session.scalars(select(ApiKeyRow.status)).one() == "REVOKED"


def test_the_internal_hook_expires(api: Api) -> None:
    made = subscribed(api)["id"]
    answer = api.post(f"/api/v1/internal/subscriptions/{made}/expire")
    assert answer.json()["data"]["status"] == "EXPIRED"
    problem(api.post("/api/v1/internal/subscriptions/none/expire"), 404)


def test_dunning_goes_past_due_then_suspended_and_back(api: Api) -> None:
    made = subscribed(api)["id"]

    def update(outcome: str) -> tuple[str, int]:
        path = f"/internal/v1/subscriptions/{made}/dunning-update"
        data = api.post(path, {"outcome": outcome}).json()["data"]
        return data["status"], data["dunningAttempt"]

    assert update("FAILED") == ("PAST_DUE", 1)
    past_due = api.get("/internal/v1/subscriptions/past-due").json()["data"]
    assert [each["id"] for each in past_due] == [made]
    first = datetime.fromisoformat(past_due[0]["nextPaymentAttemptAt"]) - datetime.now(UTC)
    assert timedelta(days=2, hours=23) < first <= timedelta(days=3)
    assert update("FAILED") == ("PAST_DUE", 2)
    assert update("FAILED") == ("SUSPENDED", 3)
    assert update("SUCCEEDED") == ("ACTIVE", 0)
    assert states(api, made) == ["ACTIVE", "PAST_DUE", "SUSPENDED", "ACTIVE"]


def test_a_retried_payment_needs_nothing_unpaid(api: Api) -> None:
    made = subscribed(api)["id"]
    problem(act(api, made, "retry-payment"), 409, "ILLEGAL_TRANSITION")
    api.post(f"/internal/v1/subscriptions/{made}/dunning-update", {"outcome": "FAILED"})
    failed = act(api, made, "retry-payment", {"outcome": "FAILED"}).json()["data"]
    assert (failed["status"], failed["dunningAttempt"]) == ("PAST_DUE", 1)
    assert act(api, made, "retry-payment").json()["data"]["status"] == "ACTIVE"


def test_a_move_sent_twice_with_one_key_is_made_once(api: Api) -> None:
    made = subscribed(api)["id"]
    path = f"{SUBSCRIPTIONS}/{made}/pause"
    first, again = (api.post(path, {"reason": "x"}, idempotency_key="pause-1") for _ in range(2))
    assert first.json() == again.json()
    assert len(states(api, made)) == 2


def test_the_spend_at_which_interim_invoices_are_cut_is_agreed_and_changed(api: Api) -> None:
    made = subscribed(api, billingThreshold="500")
    assert made["billingThreshold"] == "500"
    path = f"{SUBSCRIPTIONS}/{made['id']}/billing-threshold"
    for sent, stands in (("250.50", "250.5"), (None, None)):
        answer = api.put(path, {"billingThreshold": sent})
        assert (answer.status_code, answer.json()["data"]["billingThreshold"]) == (200, stands)
    problem(api.put(path, {"billingThreshold": 0}), 422, field="billingThreshold")
    problem(api.put(path, {"billingThreshold": 9}, if_match='"1"'), 412)
    tag = answer.headers["etag"]
    assert api.put(path, {"billingThreshold": 9}, if_match=tag).status_code == 200
    api.post(f"{SUBSCRIPTIONS}/{made['id']}/cancel", {})
    problem(api.put(path, {"billingThreshold": 10}), 409, "SUBSCRIPTION_OVER")
