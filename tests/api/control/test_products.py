"""Products at the management door."""

from __future__ import annotations

from typing import Any

import pytest

from domain.catalog.products import TYPES
from storage.database import session_scope
from storage.repositories.audit import Audit
from tests.api.control.conftest import Api, problem
from tests.api.control.test_metrics import priced

PRODUCTS = "/api/v1/products"
METRICS = "/api/v1/metrics"
DETAILS = {"base_path": "/v2", "api_version": "2.0"}
TRANSLATION = {
    "name": "Translation API v2.0",
    "description": "Translates",
    "type": "API",
    "status": "ACTIVE",
    "metadata": DETAILS,
}
AGENT = {"name": "Agent", "type": "AI_AGENT"}


def test_a_product_is_made_with_the_usual_units_of_its_type(api: Api) -> None:
    made = api.made(PRODUCTS, TRANSLATION)
    assert made | TRANSLATION == made
    assert made["id"].startswith("prd_")
    assert made["units"] == ["api_calls", "p95_latency_ms", "request_bytes", "response_bytes"]
    assert api.get(f"{PRODUCTS}/{made['id']}").json()["data"] == made
    metering = api.get(f"{PRODUCTS}/{made['id']}/metrics").json()["data"]
    assert [each["name"] for each in metering] == [
        "API Calls",
        "Latency P95",
        "Request Size",
        "Response Size",
    ]


@pytest.mark.parametrize("product_type", TYPES)
def test_every_type_of_product_can_be_made(api: Api, product_type: str) -> None:
    made = api.made(PRODUCTS, {"name": "p", "type": product_type, "metadata": DETAILS})
    assert made["type"] == product_type
    assert made["units"]


def test_a_product_shares_units_that_are_there_already(api: Api) -> None:
    own = api.made(METRICS, {"key": "agent_runs", "name": "Runs", "aggregationType": "COUNT"})
    assert "agent_runs" in api.made(PRODUCTS, AGENT)["units"]
    assert api.get(f"{METRICS}/agent_runs").json()["data"] == own
    assert "tokens_in" in api.made(PRODUCTS, {"name": "Tools", "type": "MCP_SERVER"})["units"]


def test_a_product_may_name_its_units(api: Api) -> None:
    api.made(METRICS, {"key": "calls", "name": "Calls", "aggregationType": "COUNT"})
    assert api.made(PRODUCTS, {**AGENT, "metricIds": ["calls"]})["units"] == ["calls"]
    assert api.made(PRODUCTS, {**AGENT, "name": "Bare", "units": []})["units"] == []


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": "Translation (API)"}, "name"),
        ({"name": "Übersetzung"}, "name"),
        ({"name": None}, "name"),
        ({"type": "TOASTER"}, "type"),
        ({"type": None}, "type"),
        ({"metadata": {"api_version": "1"}}, "metadata.base_path"),
        ({"metadata": {"base_path": "/v1"}}, "metadata.api_version"),
        ({"metadata": None}, "metadata.base_path"),
        ({"status": "LIVE"}, "status"),
        ({"status": "ARCHIVED"}, "status"),
        ({"units": ["nope"]}, "units[0]"),
        ({"price": 1}, "price"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_made(api: Api, wrong: dict[str, Any], field: str) -> None:
    problem(api.post(PRODUCTS, {**TRANSLATION, **wrong}), 422, "INVALID_FIELD", field)
    assert api.get(PRODUCTS).json()["data"] == api.get(METRICS).json()["data"] == []


def test_the_list_is_filtered_by_name_type_and_status(api: Api) -> None:
    api.made(PRODUCTS, TRANSLATION)
    api.made(PRODUCTS, {**AGENT, "status": "DRAFT"})

    def names(query: str) -> list[str]:
        return [each["name"] for each in api.get(f"{PRODUCTS}?{query}").json()["data"]]

    assert names("") == ["Agent", "Translation API v2.0"]
    assert (
        names("name=LATION") == names("productType=API") == names("status=ACTIVE") == ["Translation API v2.0"]
    )
    assert names("status=DRAFT") == names("sort=name&size=1") == ["Agent"]
    problem(api.get(f"{PRODUCTS}?productType=TOASTER"), 422)


def test_two_products_on_offer_never_share_a_name(api: Api) -> None:
    first = api.made(PRODUCTS, AGENT)["id"]
    problem(api.post(PRODUCTS, {**AGENT, "name": "AGENT"}), 409, "PRODUCT_EXISTS")
    assert api.delete(f"{PRODUCTS}/{first}").status_code == 204
    second = api.made(PRODUCTS, AGENT)["id"]
    problem(api.patch(f"{PRODUCTS}/{first}", {"status": "ACTIVE"}), 409, "PRODUCT_EXISTS")
    api.delete(f"{PRODUCTS}/{second}")
    assert api.patch(f"{PRODUCTS}/{first}", {"status": "ACTIVE"}).json()["data"]["archivedAt"] is None


def test_a_product_keeps_its_key(api: Api) -> None:
    api.made(PRODUCTS, {**AGENT, "key": "agent"})
    problem(api.post(PRODUCTS, {**AGENT, "key": "agent", "name": "Other"}), 409, "PRODUCT_EXISTS")
    problem(api.patch(f"{PRODUCTS}/agent", {"key": "other"}), 422, field="key")


def test_an_edit_merges_and_a_put_replaces_all_but_units_and_status(api: Api) -> None:
    made = api.made(
        PRODUCTS, {**TRANSLATION, "status": "DRAFT", "audience": "PUBLIC", "maturityStage": "BETA"}
    )
    path = f"{PRODUCTS}/{made['id']}"
    edited = api.patch(path, {"metadata": {"base_path": "/v3", "owner": "me"}}).json()["data"]
    assert edited["metadata"] == {"base_path": "/v3", "api_version": "2.0", "owner": "me"}
    problem(api.patch(path, {"metadata": {"base_path": None}}), 422, field="metadata.base_path")
    assert api.put(path, edited, if_match='"2"').json()["data"] == edited
    replaced = api.put(path, {"name": "New", "type": "AI_AGENT"}).json()["data"]
    assert (replaced["audience"], replaced["metadata"]) == (None, {})
    assert (replaced["units"], replaced["status"]) == (made["units"], "DRAFT")
    problem(api.put(path, edited, if_match='"2"'), 412, "STALE_EDIT")


def test_units_are_associated_and_dissociated(api: Api) -> None:
    made = api.made(PRODUCTS, {**AGENT, "units": []})
    api.made(METRICS, {"key": "calls", "name": "Calls", "aggregationType": "COUNT"})
    path = f"{PRODUCTS}/{made['id']}/metrics/calls"
    assert [api.made(path)["units"] for _ in range(2)] == [["calls"], ["calls"]]
    assert api.delete(path).status_code == 204
    problem(api.delete(path), 404, "METRIC_NOT_FOUND")
    problem(api.post(f"{PRODUCTS}/{made['id']}/metrics/nope"), 404, "METRIC_NOT_FOUND")
    problem(api.post(f"{PRODUCTS}/nope/metrics/calls"), 404, "PRODUCT_NOT_FOUND")
    assert api.get(f"{PRODUCTS}/{made['id']}").json()["data"]["units"] == []


def test_an_archived_unit_meters_nothing_any_more(api: Api) -> None:
    made = api.made(PRODUCTS, AGENT)
    api.delete(f"{METRICS}/agent_runs")
    left = api.get(f"{PRODUCTS}/{made['id']}").json()["data"]
    assert ("agent_runs" in left["units"], left["revision"]) == (False, 2)
    problem(api.post(f"{PRODUCTS}/{made['id']}/metrics/agent_runs"), 404, "METRIC_NOT_FOUND")
    assert "agent_runs" not in api.made(PRODUCTS, {**AGENT, "name": "Second"})["units"]


def test_a_product_nobody_sells_is_deleted_softly(api: Api) -> None:
    made = api.made(PRODUCTS, AGENT)["id"]
    assert api.get(f"{PRODUCTS}/{made}/deletion-check").json()["data"]["decision"] == "ALLOW"
    assert api.delete(f"{PRODUCTS}/{made}").status_code == 204
    assert api.get(PRODUCTS).json()["data"] == []
    assert api.get(f"{PRODUCTS}/{made}").json()["data"]["status"] == "ARCHIVED"
    assert len(api.get(f"{PRODUCTS}?includeArchived=true").json()["data"]) == 1


@pytest.mark.parametrize("named", [True, False])
def test_a_product_with_active_subscriptions_cannot_be_deleted(api: Api, named: bool) -> None:
    made = api.made(PRODUCTS, AGENT)["id"]
    other = api.made(PRODUCTS, {"name": "Other", "type": "API", "metadata": DETAILS})["id"]
    priced(api, "agent_runs", products=(made,) if named else (), subscribed=True)
    check = api.get(f"{PRODUCTS}/{made}/deletion-check").json()["data"]
    assert (check["decision"], check["reasons"][0]["ids"]) == ("BLOCK", ["sub_ann"])
    problem(api.delete(f"{PRODUCTS}/{made}"), 409, "PRODUCT_BLOCKED")
    assert api.delete(f"{PRODUCTS}/{other}").status_code == 204


def test_a_product_of_a_plan_without_subscribers_is_deleted_when_that_is_confirmed(api: Api) -> None:
    made = api.made(PRODUCTS, AGENT)["id"]
    priced(api, "agent_runs", products=(made,))
    problem(api.delete(f"{PRODUCTS}/{made}?confirm=wrong"), 409, "CONFIRMATION_REQUIRED")
    token = api.get(f"{PRODUCTS}/{made}/deletion-check").json()["data"]["confirmToken"]
    assert api.delete(f"{PRODUCTS}/{made}?confirm={token}").status_code == 204


def test_another_tenants_product_is_not_found(api: Api) -> None:
    made = api.made(PRODUCTS, AGENT)["id"]
    paths = [
        ("GET", ""),
        ("PUT", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("GET", "/deletion-check"),
        ("GET", "/metrics"),
    ]
    for method, path in [*paths, ("POST", "/metrics/agent_runs"), ("DELETE", "/metrics/agent_runs")]:
        body = AGENT if method in ("PUT", "PATCH") else None
        problem(api.send(method, f"{PRODUCTS}/{made}{path}", body, tenant="rival"), 404, "PRODUCT_NOT_FOUND")


@pytest.mark.parametrize(
    ("role", "reading", "writing"),
    [("OWNER", 200, 201), ("PRODUCT_MANAGER", 200, 201), ("BILLING_ADMIN", 403, 403), ("VIEWER", 200, 403)],
)
def test_roles_decide_who_may_touch_the_catalog(api: Api, role: str, reading: int, writing: int) -> None:
    assert api.get(PRODUCTS, role=role).status_code == reading
    assert api.post(PRODUCTS, AGENT, role=role).status_code == writing


def test_every_change_is_recorded(api: Api) -> None:
    made = api.made(PRODUCTS, {**AGENT, "units": []})["id"]
    api.patch(f"{PRODUCTS}/{made}", {"audience": "PUBLIC"})
    api.patch(f"{PRODUCTS}/{made}", {"audience": "PUBLIC"})
    api.delete(f"{PRODUCTS}/{made}")
    with session_scope(api.database_url) as session:
        entries = [(each.action, each.changes) for each in Audit(session, "acme").entries()]
    assert entries[0] == ("PRODUCT_ARCHIVED", {"status": {"before": "ACTIVE", "after": "ARCHIVED"}})
    assert entries[1] == ("PRODUCT_UPDATED", {"audience": {"before": None, "after": "PUBLIC"}})
    assert entries[2][0] == "PRODUCT_CREATED"
