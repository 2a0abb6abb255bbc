"""Claims about every route at once: who may use it, and that it never shows another tenant's things."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from api.control.openapi import operations
from api.control.roles import ROLES, Area, may
from tests.api.control.conftest import Api
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


def test_nobody_gets_in_without_a_key(api: Api) -> None:
    wrong = []
    for path, method, operation in every_operation(api):
        if "x-right" in operation:
            answer = api.send(method.upper(), PARAMETER.sub("nothing", path), {}, token="")
            if answer.status_code != 401 or answer.json()["code"] != "UNAUTHORIZED":
                wrong.append((method, path, answer.status_code))
    assert wrong == []


def test_every_id_has_an_example(api: Api) -> None:
    prefixes = {PARAMETER.split(path)[0].rstrip("/") for path, _, _ in every_operation(api) if "{" in path}
    assert prefixes - MAKERS.keys() - NO_TENANTS_OWN == set()


def test_a_strangers_id_looks_like_one_that_does_not_exist(api: Api) -> None:
    rival, wrong = World(api, "rival"), []
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


def test_lists_show_no_strangers_things(api: Api) -> None:
    rival = World(api, "rival")
    ids = [rival[prefix] for prefix in MAKERS]
    for path, method, _ in every_operation(api):
        if method == "get" and "{" not in path and path not in PUBLIC | NO_TENANTS_OWN:
            answer = api.get(path)
            assert answer.status_code == 200, (path, answer.text)
            assert not any(f'"{each}"' in answer.text for each in ids if len(each) > 8), path
