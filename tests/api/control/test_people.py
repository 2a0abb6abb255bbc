"""Teams, apps and agents over HTTP, with the field names clients use."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text

from storage.database import session_scope
from tests.api.control.conftest import Api, problem

TEAMS, APPS, AGENTS = "/api/v1/teams", "/api/v1/apps", "/api/v1/agents"


@pytest.fixture
def ann(api: Api) -> str:
    body = {"name": "Ann", "email": "ann@x.example", "plan": "STANDARD", "defaultCurrency": "EUR"}
    made: str = api.made("/api/v1/customers", body)["id"]
    return made


@pytest.fixture
def bob(api: Api) -> str:
    made: str = api.made("/api/v1/customers", {"name": "Bob", "email": "b@x.example", "plan": "STANDARD"})[
        "id"
    ]
    return made


def test_a_team_has_a_budget_in_exact_money(api: Api, ann: str) -> None:
    made = api.made(
        TEAMS, {"name": "Research", "customerId": ann, "budget": {"amount": 500.10, "period": "ANNUAL"}}
    )
    assert made["id"].startswith("team_")
    assert made["budget"] == {"amount": "500.1", "currency": "EUR", "period": "ANNUAL"}
    path = f"{TEAMS}/{made['id']}"
    assert api.get(path).json()["data"] == made
    assert api.patch(path, {"budget": None}, if_match='"1"').json()["data"]["budget"] is None
    problem(api.patch(path, {"name": "x"}, if_match='"1"'), 412, "STALE_EDIT")


def test_teams_are_listed_by_customer(api: Api, ann: str, bob: str) -> None:
    for customer, name in ((ann, "A"), (bob, "B")):
        api.made(TEAMS, {"name": name, "customerId": customer})
    assert [each["name"] for each in api.get(f"{TEAMS}?customerId={ann}").json()["data"]] == ["A"]
    assert api.get(TEAMS, tenant="rival").json()["data"] == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "T"}, "customerId"),
        ({"name": "T", "customerId": "nobody"}, "customerId"),
        ({"name": "T", "customerId": "ANN", "budget": {"amount": -1}}, "budget.amount"),
        ({"name": "T", "customerId": "ANN", "budget": {"amount": "1.00001"}}, "budget.amount"),
        ({"name": "T", "customerId": "ANN", "budget": {"amount": 1, "currency": "XX"}}, "budget.currency"),
        ({"name": "T", "customerId": "ANN", "budget": {"amount": 1, "period": "DAILY"}}, "budget.period"),
    ],
)
def test_a_team_that_makes_no_sense_is_refused_by_field(
    api: Api, ann: str, body: dict[str, Any], field: str
) -> None:
    sent = {name: ann if value == "ANN" else value for name, value in body.items()}
    problem(api.post(TEAMS, sent), 422, field=field)


def test_an_app_and_an_agent_are_answered_as_they_were_sent(api: Api, ann: str) -> None:
    team = api.made(TEAMS, {"name": "Research", "customerId": ann})["id"]
    app = {"name": "Shop", "customerId": ann, "teamId": team, "description": "The web shop"}
    made = api.made(APPS, app)
    assert {name: made[name] for name in app} == app
    assert (made["type"], made["status"], made["id"][:4]) == ("APP", "ACTIVE", "app_")
    agent = {
        "name": "Scout",
        "customerId": ann,
        "teamId": team,
        "agentType": "CLAUDE",
        "capabilities": ["search", "summarize"],
        "rateLimits": {"requestsPerMinute": 60, "tokensPerDay": 1000000},
    }
    made = api.made(AGENTS, agent)
    assert {name: made[name] for name in agent} == agent
    assert (made["type"], made["id"][:4]) == ("AGENT", "agt_")
    problem(api.get(f"{APPS}/{made['id']}"), 404, "ACCESSOR_NOT_FOUND")
    assert [each["name"] for each in api.get(f"{AGENTS}?teamId={team}").json()["data"]] == ["Scout"]


def test_agents_are_suspended_and_reactivated_alone(api: Api, ann: str) -> None:
    made = api.made(AGENTS, {"name": "Scout", "customerId": ann})
    path = f"{AGENTS}/{made['id']}"
    assert api.post(f"{path}/suspend", {"reason": "runs wild"}).json()["data"]["status"] == "SUSPENDED"
    assert api.post(f"{path}/suspend").json()["data"]["revision"] == 2, "again: nothing happens"
    assert api.get(f"{AGENTS}?status=SUSPENDED").json()["meta"]["totalElements"] == 1
    assert api.post(f"{path}/reactivate").json()["data"]["status"] == "ACTIVE"
    with session_scope(api.database_url) as session:
        acts = session.execute(
            text("SELECT action, reason FROM audit_log WHERE target_type = 'agent' ORDER BY id")
        )
        assert [tuple(act) for act in acts] == [
            ("AGENT_CREATED", None),
            ("AGENT_SUSPENDED", "runs wild"),
            ("AGENT_REACTIVATED", None),
        ]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"agentType": "ROBOT"}, "agentType"),
        ({"rateLimits": {"requestsPerMinute": 0}}, "rateLimits.requestsPerMinute"),
        ({"rateLimits": {"perHour": 1}}, "rateLimits.perHour"),
        ({"capabilities": [1.5, ""]}, "capabilities[1]"),
        ({"teamId": "nobody"}, "teamId"),
        ({"status": "ARCHIVED"}, "status"),
    ],
)
def test_an_agent_that_makes_no_sense_is_refused_by_field(
    api: Api, ann: str, body: dict[str, Any], field: str
) -> None:
    problem(api.post(AGENTS, {"name": "Scout", "customerId": ann} | body), 422, field=field)


def test_apps_have_nothing_that_is_of_agents_only(api: Api, ann: str) -> None:
    problem(api.post(APPS, {"name": "Shop", "customerId": ann, "agentType": "GPT"}), 422, field="agentType")


def test_a_team_of_another_customer_cannot_be_joined(api: Api, ann: str, bob: str) -> None:
    team = api.made(TEAMS, {"name": "Research", "customerId": bob})["id"]
    problem(api.post(APPS, {"name": "Shop", "customerId": ann, "teamId": team}), 422, field="teamId")
    app = api.made(APPS, {"name": "Shop", "customerId": bob, "teamId": team})
    problem(api.patch(f"{APPS}/{app['id']}", {"customerId": ann, "teamId": None}), 422, field="customerId")
    problem(api.delete(f"{TEAMS}/{team}"), 409, "TEAM_IN_USE")
    assert api.delete(f"{APPS}/{app['id']}").status_code == 204
    assert api.delete(f"{TEAMS}/{team}").status_code == 204


def test_names_are_unique_within_a_customer_also_at_once(api: Api, ann: str, bob: str) -> None:
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: api.post(APPS, {"name": "Shop", "customerId": ann}), range(6)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 5
    problem(api.post(APPS, {"name": "SHOP", "customerId": ann}), 409, "NAME_TAKEN")
    assert api.post(APPS, {"name": "Shop", "customerId": bob}).status_code == 201
    assert api.post(AGENTS, {"name": "Shop", "customerId": ann}).status_code == 201


def test_nothing_joins_an_archived_customer(api: Api, ann: str) -> None:
    api.delete(f"/api/v1/customers/{ann}")
    for path in (TEAMS, APPS, AGENTS):
        problem(api.post(path, {"name": "x", "customerId": ann}), 422, field="customerId")


def test_another_tenants_people_do_not_exist(api: Api, ann: str) -> None:
    for path in (TEAMS, APPS, AGENTS):
        made = f"{path}/{api.made(path, {'name': 'x', 'customerId': ann})['id']}"
        for answer in (
            api.get(made, tenant="rival"),
            api.patch(made, {"name": "y"}, tenant="rival"),
            api.delete(made, tenant="rival"),
        ):
            problem(answer, 404)
        problem(api.post(path, {"name": "x", "customerId": ann}, tenant="rival"), 422, field="customerId")
