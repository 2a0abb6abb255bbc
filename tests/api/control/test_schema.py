"""The API does what its OpenAPI document says, whatever is sent to it."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    response_schema_conformance,
    status_code_conformance,
)

from tests.api.control.conftest import Api
from tests.api.control.examples import MAKERS, World

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 5
"""Requests for each operation; more by hand when something is suspected."""
PARAMETER = re.compile(r"\{([^}]+)\}")


def failures(api: Api, world: World, operation: Any) -> Iterator[str]:
    """What is wrong with the answers to made-up requests of one operation."""
    found: list[str] = []
    dice = random.Random(1)
    prefix = PARAMETER.split(operation.path)[0].rstrip("/")

    @seed(1)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def send(case: Any) -> None:
        parameters = PARAMETER.findall(operation.path)
        if parameters and prefix in MAKERS and dice.random() < 0.7:  # mostly a thing that exists
            case.path_parameters = {**(case.path_parameters or {}), parameters[0]: world[prefix]}
        as_owner = {"Authorization": f"Bearer {api.root}", "X-Tenant-Id": world.tenant}
        try:
            case.call_and_validate(headers=as_owner, checks=CHECKS, excluded_checks=[ignored_auth])
        except schemathesis.errors.SchemathesisError as error:
            found.append(f"{operation.label}: {error}"[:600])
        except BaseExceptionGroup as group:
            found.extend(f"{operation.label}: {error}"[:600] for error in group.exceptions)

    send()
    yield from found


def test_no_request_gets_an_answer_that_is_not_documented(api: Api) -> None:
    world = World(api, "acme")
    for prefix in MAKERS:
        assert world[prefix]
    schema = schemathesis.openapi.from_asgi("/v3/api-docs", api.app)
    found = [each for one in schema.get_all_operations() for each in failures(api, world, one.ok())]
    assert found == []
