"""Many units at once: templates, bulk, export, import."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from domain.catalog.products import TYPES
from tests.api.control.conftest import Api, problem

METRICS = "/api/v1/metrics"
CALLS = {"key": "calls", "name": "Calls", "aggregationType": "COUNT"}
BYTES = {"key": "bytes", "name": "Bytes", "aggregationType": "SUM"}


def keys(api: Api) -> list[str]:
    return [each["key"] for each in api.get(f"{METRICS}?size=500").json()["data"]]


@pytest.mark.parametrize("product_type", TYPES)
def test_every_type_of_product_has_templates(api: Api, product_type: str) -> None:
    templates = api.get(f"{METRICS}/templates/{product_type}").json()["data"]
    assert {"name", "unitLabel", "aggregationType", "eventField", "description", "required"} <= templates[
        0
    ].keys()
    assert any(each["required"] for each in templates)
    made = api.made(f"{METRICS}/bulk", {"productType": product_type})
    assert [each["name"] for each in made] == [each["name"] for each in templates]


def test_bulk_makes_the_named_templates_once(api: Api) -> None:
    body = {"productType": "MCP_SERVER", "templateNames": ["MCP Tool Calls", "mcp connected agents"]}
    first, again = (api.made(f"{METRICS}/bulk", body) for _ in range(2))
    assert first == again
    assert [(each["name"], each["eventField"], each["aggregationType"]) for each in first] == [
        ("MCP Tool Calls", "tool_call_count", "COUNT"),
        ("MCP Connected Agents", "agent_id", "UNIQUE"),
    ]
    assert keys(api) == ["mcp_connected_agents", "mcp_tool_calls"]


def test_bulk_takes_what_is_there_under_another_name(api: Api) -> None:
    api.made(f"{METRICS}/bulk", {"productType": "API", "templateNames": ["Data Transfer"]})
    api.patch(f"{METRICS}/data_transfer", {"name": "Traffic"})
    own = api.made(METRICS, {"key": "api_calls", "name": "Requests", "aggregationType": "SUM"})
    made = api.made(
        f"{METRICS}/bulk", {"productType": "API", "templateNames": ["API Calls", "Data Transfer"]}
    )
    assert [each["name"] for each in made] == ["Requests", "Traffic"]
    assert made[0] == own


def test_bulk_restores_what_was_archived(api: Api) -> None:
    body = {"productType": "API", "templateNames": ["Active Users"]}
    api.made(f"{METRICS}/bulk", body)
    api.delete(f"{METRICS}/active_users")
    assert api.made(f"{METRICS}/bulk", body)[0]["status"] == "ACTIVE"


def test_bulk_at_the_same_time_makes_each_unit_once(api: Api) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: api.post(f"{METRICS}/bulk", {"productType": "API"}), range(8)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"productType": "API", "templateNames": []}, "templateNames"),
        ({"productType": "API", "templateNames": ["API Calls", "Nonsense"]}, "templateNames[1]"),
        ({"productType": "TOASTER"}, "productType"),
        ({}, "productType"),
    ],
)
def test_a_wrong_bulk_names_the_field_and_makes_nothing(api: Api, body: dict[str, Any], field: str) -> None:
    problem(api.post(f"{METRICS}/bulk", body), 422, "INVALID_FIELD", field)
    assert keys(api) == []


def test_an_export_is_an_import(api: Api) -> None:
    api.made(f"{METRICS}/bulk", {"productType": "AI_AGENT"})
    api.delete(f"{METRICS}/gpu_hours")
    exported = api.get(f"{METRICS}/export").json()["data"]
    assert "gpu_hours" not in [each["key"] for each in exported]
    made = api.post(f"{METRICS}/import", {"metrics": exported}, tenant="rival")
    assert (made.status_code, made.json()["meta"]) == (201, {"created": len(exported), "skipped": []})
    assert api.get(f"{METRICS}/export", tenant="rival").json()["data"] == exported


def test_an_import_with_duplicates_does_nothing_and_names_them(api: Api) -> None:
    api.made(METRICS, CALLS)
    answer = api.post(f"{METRICS}/import", {"metrics": [BYTES, {**CALLS, "key": "other"}]})
    assert "'other'" in problem(answer, 409, "METRIC_EXISTS")["detail"]
    assert keys(api) == ["calls"]


@pytest.mark.parametrize("query", [True, False])
def test_an_import_may_skip_duplicates(api: Api, query: bool) -> None:
    api.made(METRICS, CALLS)
    body: dict[str, Any] = {"metrics": [BYTES, CALLS]}
    path = f"{METRICS}/import?skipDuplicates=true" if query else f"{METRICS}/import"
    answer = api.post(path, body if query else {**body, "skipDuplicates": True})
    assert [each["id"] for each in answer.json()["data"]] == ["bytes"]
    assert answer.json()["meta"] == {"created": 1, "skipped": ["calls"]}


def test_an_import_tells_every_wrong_unit_and_does_nothing(api: Api) -> None:
    wrong = [
        BYTES,
        {**CALLS, "aggregationType": "X"},
        {**CALLS, "filterConditions": 5},
        {**BYTES, "key": "b"},
    ]
    body = problem(api.post(f"{METRICS}/import", {"metrics": wrong}), 422)
    assert list(body["fieldErrors"]) == [
        "metrics[1].aggregationType", "metrics[2].filterConditions", "metrics[3].key",
    ]  # fmt: skip
    assert keys(api) == []
