"""Billable units at the management door, where they are called metrics."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from domain.catalog.catalog import read_catalog
from storage.catalog_service import apply_catalog
from storage.database import session_scope
from storage.repositories.rights import unit_records
from tests.api.control.conftest import Api, problem

METRICS = "/api/v1/metrics"
CALLS = {"name": "API Calls", "aggregationType": "COUNT"}
EVERYTHING = {
    "key": "slow_calls",
    "name": "Slow Calls",
    "unitLabel": "calls",
    "aggregationType": "SUM",
    "eventField": "latency_ms",
    "productTypes": ["API", "GRPC_API"],
    "description": "Calls that took long",
    "required": True,
    "category": "quality",
    "filterConditions": [
        {"field": "statusCode", "operator": "LESS_THAN", "value": "400"},
        {"field": "region", "operator": "IN", "value": "eu,us"},
    ],
    "allowNegative": True,
    "status": "ACTIVE",
}


def priced(api: Api, *units: str, products: tuple[str, ...] = (), subscribed: bool = False) -> None:
    """A plan that prices the units, an offering of it and, if wanted, a subscription."""
    document: dict[str, Any] = {
        "tenant": {"id": "acme", "name": "Acme", "currency": "USD"},
        "ratePlans": [
            {
                "key": "pro",
                "productIds": list(products),
                "metrics": [{"unit": unit, "rate": 1} for unit in units],
            }
        ],
        "offerings": [{"code": "pro", "ratePlan": "pro"}],
    }
    if subscribed:
        document["customers"] = [{"id": "ann"}]
        document["subscriptions"] = [
            {"id": "sub_ann", "customer": "ann", "offering": "pro", "startDate": "2024-01-01"}
        ]
    with session_scope(api.database_url) as session:
        apply_catalog(session, read_catalog(document))


def known_to_the_edge(api: Api) -> list[str]:
    with session_scope(api.database_url) as session:
        return [unit.key for unit in unit_records(session, "acme")]


def test_a_unit_has_every_field_and_comes_back_as_it_was_sent(api: Api) -> None:
    made = api.made(METRICS, EVERYTHING)
    assert made | EVERYTHING == made
    assert (made["id"], made["revision"], made["archivedAt"]) == ("slow_calls", 1, None)
    assert made["createdAt"].endswith("Z")
    answer = api.get(f"{METRICS}/slow_calls")
    assert (answer.json()["data"], answer.headers["etag"]) == (made, '"1"')


def test_a_unit_without_a_key_gets_one_from_its_name(api: Api) -> None:
    assert api.made(METRICS, CALLS)["id"] == "api_calls"
    assert api.made(METRICS, {**CALLS, "name": "呼び出し"})["id"].startswith("unt_")


@pytest.mark.parametrize(
    ("sent", "stored"), [("COUNT_DISTINCT", "UNIQUE"), ("P95", "PERCENTILE_95"), ("min", "MIN")]
)
def test_aggregations_go_by_their_aliases(api: Api, sent: str, stored: str) -> None:
    made = api.made(METRICS, {"name": "u", "aggregationType": sent, "eventField": "user"})
    assert made["aggregationType"] == stored


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"aggregationType": "MEDIAN"}, "aggregationType"),
        ({"aggregationType": "UNIQUE"}, "eventField"),
        ({"productTypes": ["TOASTER"]}, "productTypes[0]"),
        (
            {"filterConditions": [{"field": "a", "operator": "LIKE", "value": "x"}]},
            "filterConditions[0].operator",
        ),
        ({"filterConditions": [{"field": "a", "operator": "IN", "value": []}]}, "filterConditions[0].value"),
        ({"name": "System.calls"}, "name"),
        ({"colour": "red"}, "colour"),
        ({"status": "ARCHIVED"}, "status"),
        ({"name": None}, "name"),
    ],
)
def test_a_wrong_field_is_named(api: Api, wrong: dict[str, Any], field: str) -> None:
    problem(api.post(METRICS, {**CALLS, "key": None, **wrong}), 422, "INVALID_FIELD", field)


@pytest.mark.parametrize(
    "clash", [{"name": "api CALLS"}, {"key": "API_Calls"}, {"key": "x", "name": "API_CALLS"}]
)
def test_neither_key_nor_name_may_mean_another_unit_whatever_the_case(
    api: Api, clash: dict[str, str]
) -> None:
    api.made(METRICS, CALLS)
    problem(api.post(METRICS, {**CALLS, "name": "Other", **clash}), 409, "METRIC_EXISTS")
    other = api.made(METRICS, {**CALLS, "name": "Other"})
    if "name" in clash:
        renamed = api.patch(f"{METRICS}/{other['id']}", {"name": clash["name"]})
        problem(renamed, 409, "METRIC_EXISTS")


def test_of_many_units_that_claim_a_name_at_once_one_gets_it(api: Api) -> None:
    bodies = [{**CALLS, "key": f"calls_{number}"} for number in range(12)]
    with ThreadPoolExecutor(12) as pool:
        statuses = sorted(
            answer.status_code for answer in pool.map(lambda body: api.post(METRICS, body), bodies)
        )
    assert statuses == [201] + [409] * 11


def test_a_patch_changes_what_it_names_and_null_clears(api: Api) -> None:
    api.made(METRICS, EVERYTHING)
    changed = api.patch(
        f"{METRICS}/slow_calls", {"description": None, "unitLabel": "requests"}, if_match='"1"'
    )
    data = changed.json()["data"]
    assert (data["description"], data["unitLabel"], data["category"]) == (None, "requests", "quality")
    assert (data["revision"], changed.headers["etag"]) == (2, '"2"')
    problem(api.patch(f"{METRICS}/slow_calls", {"category": "x"}, if_match='"1"'), 412, "STALE_EDIT")


def test_a_put_replaces_and_takes_what_a_get_gave(api: Api) -> None:
    made = api.made(METRICS, EVERYTHING)
    assert api.put(f"{METRICS}/slow_calls", made).json()["data"] == made
    replaced = api.put(f"{METRICS}/slow_calls", {"name": "Slow", "aggregationType": "SUM"}).json()["data"]
    assert (replaced["filterConditions"], replaced["required"], replaced["name"]) == ([], False, "Slow")
    problem(api.put(f"{METRICS}/slow_calls", {**made, "id": "other", "key": "other"}), 422, field="key")


@pytest.mark.parametrize(
    "edit",
    [
        {"aggregationType": "SUM"},
        {"aggregation": "MAX"},
        {"eventField": "x"},
        {"filters": EVERYTHING["filterConditions"]},
    ],
)
def test_what_a_unit_counts_is_fixed_once_a_plan_prices_it(api: Api, edit: dict[str, Any]) -> None:
    unit = api.made(METRICS, CALLS)["id"]
    assert api.patch(f"{METRICS}/{unit}", edit).status_code == 200
    assert api.put(f"{METRICS}/{unit}", CALLS).status_code == 200
    priced(api, unit)
    problem(api.patch(f"{METRICS}/{unit}", edit), 409, "AGGREGATION_LOCKED")
    assert api.patch(f"{METRICS}/{unit}", {"name": "Calls", "description": "All"}).status_code == 200


def test_a_unit_nobody_prices_is_deleted_softly(api: Api) -> None:
    unit = api.made(METRICS, CALLS)["id"]
    assert api.get(f"{METRICS}/{unit}/deletion-check").json()["data"] == {"decision": "ALLOW", "reasons": []}
    assert api.delete(f"{METRICS}/{unit}").status_code == 204
    assert api.delete(f"{METRICS}/{unit}").status_code == 204
    assert api.get(METRICS).json()["data"] == []
    assert [each["status"] for each in api.get(f"{METRICS}?includeArchived=true").json()["data"]] == [
        "ARCHIVED"
    ]
    assert api.get(f"{METRICS}/{unit}").json()["data"]["archivedAt"] is not None
    assert known_to_the_edge(api) == []


def test_an_archived_unit_keeps_its_words_and_can_be_restored(api: Api) -> None:
    unit = api.made(METRICS, CALLS)["id"]
    api.delete(f"{METRICS}/{unit}")
    assert "restore" in problem(api.post(METRICS, CALLS), 409, "METRIC_EXISTS")["detail"]
    assert api.patch(f"{METRICS}/{unit}", {"status": "ACTIVE"}).json()["data"]["archivedAt"] is None
    assert known_to_the_edge(api) == [unit]


def test_an_edit_does_not_archive(api: Api) -> None:
    unit = api.made(METRICS, CALLS)["id"]
    problem(api.patch(f"{METRICS}/{unit}", {"status": "ARCHIVED"}), 422, field="status")


def test_a_unit_with_active_subscriptions_cannot_be_deleted(api: Api) -> None:
    unit = api.made(METRICS, CALLS)["id"]
    priced(api, unit, subscribed=True)
    check = api.get(f"{METRICS}/{unit}/deletion-check").json()["data"]
    assert (check["decision"], "confirmToken" in check) == ("BLOCK", False)
    first = check["reasons"][0]
    assert (first["code"], first["count"], first["ids"]) == ("ACTIVE_SUBSCRIPTIONS", 1, ["sub_ann"])
    problem(api.delete(f"{METRICS}/{unit}"), 409, "METRIC_BLOCKED")


def test_a_unit_of_a_plan_without_subscribers_is_deleted_when_that_is_confirmed(api: Api) -> None:
    unit = api.made(METRICS, CALLS)["id"]
    priced(api, unit)
    problem(api.delete(f"{METRICS}/{unit}"), 409, "CONFIRMATION_REQUIRED")
    check = api.get(f"{METRICS}/{unit}/deletion-check").json()["data"]
    assert check["decision"] == "WARN"
    assert [(each["code"], each["ids"]) for each in check["reasons"]] == [
        ("RATE_PLANS", ["pro"]),
        ("OFFERINGS", ["pro"]),
    ]
    api.patch(f"{METRICS}/{unit}", {"description": "changed since"})
    problem(api.delete(f"{METRICS}/{unit}?confirm={check['confirmToken']}"), 409, "CONFIRMATION_REQUIRED")
    token = api.get(f"{METRICS}/{unit}/deletion-check").json()["data"]["confirmToken"]
    assert api.delete(f"{METRICS}/{unit}?confirm={token}").status_code == 204


def test_the_list_is_filtered_and_paged(api: Api) -> None:
    for name, aggregation in (("API Calls", "COUNT"), ("Bytes 100%", "SUM"), ("Bytes In", "SUM")):
        api.made(METRICS, {"name": name, "aggregationType": aggregation, "productTypes": ["API"]})
    answer = api.get(f"{METRICS}?name=BYTES&size=1").json()
    assert [each["id"] for each in answer["data"]] == ["bytes_100"]
    assert answer["meta"]["totalElements"] == 2
    following = api.get(f"{METRICS}?name=BYTES&size=1&cursor={answer['meta']['nextCursor']}").json()
    assert [each["id"] for each in following["data"]] == ["bytes_in"]
    assert [each["id"] for each in api.get(f"{METRICS}?name=100%25").json()["data"]] == ["bytes_100"]
    assert api.get(f"{METRICS}?productType=MQTT_BROKER").json()["data"] == []
    assert len(api.get(f"{METRICS}?productType=API&sort=name,desc").json()["data"]) == 3


def test_another_tenants_unit_is_not_found(api: Api) -> None:
    api.made(METRICS, CALLS)
    for method, path in [("GET", ""), ("PATCH", ""), ("PUT", ""), ("DELETE", ""), ("GET", "/deletion-check")]:
        body = CALLS if method in ("PATCH", "PUT") else None
        problem(api.send(method, f"{METRICS}/api_calls{path}", body, tenant="rival"), 404, "METRIC_NOT_FOUND")
    assert api.made(METRICS, CALLS, tenant="rival")["id"] == "api_calls"
