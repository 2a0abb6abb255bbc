"""Claims about every route at once: who may use it, and that it never shows another tenant's things."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from sqlalchemy import text

from api.control.openapi import operations
from api.control.roles import ROLES, Area, may
from api.control.shapes.table import ROUTES, shape_of
from storage.database import session_scope
from tests.api.control.conftest import Api, problem
from tests.api.control.examples import MAKERS, NO_TENANTS_OWN, World

PUBLIC = {
    "/actuator/health",
    "/oauth/token",
    "/oauth/revoke",
    "/.well-known/jwks.json",
    "/.well-known/evidence-keys.json",
    "/internal/v1/auth/token-check",
}
"""What asks for no operator key; each for a reason: watched by machines, or it checks another credential itself."""
PARAMETER = re.compile(r"\{[^}]+\}")


def every_operation(api: Api) -> Iterator[tuple[str, str, dict[str, Any]]]:
    return operations(api.app.openapi())


def everything_of(api: Api, tenant: str) -> dict[str, str]:
    """Table to a hash of the tenant's rows."""
    tables = "SELECT table_name FROM information_schema.columns WHERE column_name = 'tenant_id' AND table_schema = 'public'"
    rows = "SELECT coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '') FROM {} t WHERE tenant_id = :tenant"
    with session_scope(api.database_url) as session:
        names = sorted(session.scalars(text(tables)))
        return {
            name: str(session.scalar(text(rows.format(f'"{name}"')), {"tenant": tenant})) for name in names
        }


def body_of(operation: dict[str, Any]) -> Any:
    return operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")


def test_every_route_says_whose_it_is(api: Api) -> None:
    open_to_all = {path for path, _, operation in every_operation(api) if "x-right" not in operation}
    assert open_to_all == PUBLIC


def test_every_role_gets_exactly_what_the_table_gives_it(api: Api) -> None:
    wrong = []
    for path, method, operation in every_operation(api):
        right = operation.get("x-right")
        if right is None:
            continue
        for role in ROLES:
            answer = api.send(method.upper(), PARAMETER.sub("nothing", path), {}, role=role)
            allowed = may(role, Area(right["area"]), change=right["change"])
            if (
                (answer.status_code == 403) is allowed
                or answer.status_code == 401
                or answer.status_code >= 500
            ):
                wrong.append((method, path, role, answer.status_code))
    assert wrong == []


def test_nobody_gets_in_without_a_key_of_this_tenants_operators(api: Api) -> None:
    customers = api.made("/api/v1/api-keys", {"name": "k", "environment": "live"})["secret"]
    rivals = api.key("rival", "OWNER")
    wrong = []
    for path, method, operation in every_operation(api):
        if "x-right" not in operation:
            continue
        for token, status in (("", 401), ("afo_made_up", 401), (customers, 401), (rivals, 403)):
            answer = api.send(method.upper(), PARAMETER.sub("nothing", path), {}, token=token)
            code = {401: "UNAUTHORIZED", 403: "FORBIDDEN"}[status]
            if (answer.status_code, answer.json().get("code")) != (status, code):
                wrong.append((method, path, token[:8], answer.status_code))
    assert wrong == []


def test_every_id_has_an_example(api: Api) -> None:
    prefixes = {PARAMETER.split(path)[0].rstrip("/") for path, _, _ in every_operation(api) if "{" in path}
    assert prefixes - MAKERS.keys() - NO_TENANTS_OWN == set()


def test_a_strangers_id_looks_like_one_that_does_not_exist(api: Api) -> None:
    rival, wrong = World(api, "rival"), []
    for prefix in MAKERS:
        assert rival[prefix]
    before = everything_of(api, "rival")
    for path, method, operation in every_operation(api):
        prefix = PARAMETER.split(path)[0].rstrip("/")
        if "{" not in path or prefix not in MAKERS:
            continue
        theirs = PARAMETER.sub("1", path.replace(PARAMETER.search(path)[0], rival[prefix]))  # type: ignore[index]
        none = PARAMETER.sub("1", path.replace(PARAMETER.search(path)[0], "nothing"))  # type: ignore[index]
        body = body_of(operation)
        found, expected = (api.send(method.upper(), each, body) for each in (theirs, none))
        told = [
            (each.status_code, each.json().get("code") if each.content else None)
            for each in (found, expected)
        ]
        # Not 404: it looks at the body first, and then says the same as for an id that nobody has.
        if found.status_code != 404 and (found.status_code != 422 or told[0] != told[1]):
            wrong.append((method, theirs, told))
    assert wrong == []
    assert everything_of(api, "rival") == before


def test_a_strangers_metric_cannot_be_put_to_ones_own_product(api: Api) -> None:
    mine, theirs = World(api, "acme")["/api/v1/products"], World(api, "rival")["/api/v1/metrics"]
    problem(api.post(f"/api/v1/products/{mine}/metrics/{theirs}"), 404)


def test_lists_show_no_strangers_things(api: Api) -> None:
    rival = World(api, "rival")
    ids = [rival[prefix] for prefix in MAKERS]
    for path, method, _ in every_operation(api):
        if method == "get" and "{" not in path and path not in PUBLIC | NO_TENANTS_OWN:
            answer = api.get(path)
            assert answer.status_code == 200, (path, answer.text)
            assert not any(f'"{each}"' in answer.text for each in ids if len(each) > 8), path


def test_every_answer_has_a_documented_shape(api: Api) -> None:
    found = {
        f"{method} {path}": shape_of(method, path)
        for path, method, each in every_operation(api)
        if "x-right" in each
    }
    assert [name for name, shape in found.items() if shape is None] == []
    assert ROUTES.keys() - found.keys() == set()
