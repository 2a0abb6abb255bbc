"""The API does what its OpenAPI document says, whatever is sent to it: no server error, no answer the document does not know,
nothing accepted that it forbids. Keep out: claims about one noun."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from tests.api.control.conftest import Api
from tests.api.control.examples import MAKERS, World

PARAMETER = re.compile(r"\{([^}]+)\}")
PHASES = ("examples", "coverage", "fuzzing", "stateful")
REFUSED = ["400", "401", "403", "404", "405", "409", "412", "413", "415", "422", "429"]
"""What a request may be refused with; a well-formed one too, since there are rules no schema can express."""
TENANTS = "/api/v1/internal/tenants"


def settings(api: Api, phases: tuple[str, ...], examples: int) -> SchemathesisConfig:
    """Every check there is but one, on requests made up from the document, the same ones each time. `use_after_free` expects 404
    of what was deleted; here DELETE archives, and what is archived stays readable by its id, which the tests of each noun claim."""
    return SchemathesisConfig.from_dict(
        {
            "seed": 1,
            "headers": {"Authorization": f"Bearer {api.root}", "X-Tenant-Id": "acme"},
            "checks": {
                "positive_data_acceptance": {"expected-statuses": ["2xx", *REFUSED]},
                "negative_data_rejection": {"expected-statuses": REFUSED},
                "use_after_free": {"enabled": False},
            },
            # A key may hold slashes, so what stands at its end may be the end of a key that is asked for.
            "operations": [
                {
                    "include-path-regex": "/events/.*/(amend|void)$",
                    "checks": {"allow_header_conformance": {"enabled": False}},
                }
            ],
            "continue-on-failure": True,
            "phases": {name: {"enabled": name in phases} for name in PHASES},
            "generation": {
                "max-examples": examples,
                "deterministic": True,
                "no-shrink": True,
                "database": "none",
            },
        }
    )


class Ids:
    """Puts ids of things that exist into most of the addresses; the tenant itself is left alone."""

    def __init__(self, api: Api) -> None:
        self._number = 0
        self._other_tenant = api.made(TENANTS, {"name": "Other"})["id"]
        world = World(api, "acme")
        self._ids = {prefix: world[prefix] for prefix in MAKERS}

    def __call__(self, context: Any, path_parameters: dict[str, Any]) -> dict[str, Any]:
        names = PARAMETER.findall(context.operation.path)
        prefix = PARAMETER.split(context.operation.path)[0].rstrip("/")
        self._number += 1
        if names and prefix == TENANTS:
            return {names[0]: self._other_tenant}
        if names and prefix in self._ids and self._number % 4:
            return {**(path_parameters or {}), names[0]: self._ids[prefix]}
        return path_parameters


def failures(api: Api, phases: tuple[str, ...], examples: int) -> list[str]:
    """What the checks found: operation, what is wrong, and the request as a command."""
    schema = schemathesis.openapi.from_asgi("/v3/api-docs", api.app, config=settings(api, phases, examples))
    schema.hook("map_path_parameters")(Ids(api))
    found: dict[str, None] = {}
    for event in from_schema(schema).execute():
        if isinstance(event, events.NonFatalError | events.FatalError):
            found[str(getattr(event, "value", None) or getattr(event, "exception", event))] = None
        elif isinstance(event, events.ScenarioFinished):
            found.update(dict.fromkeys(_failures_of(event.recorder)))
    return list(found)


def check(api: Api, phases: tuple[str, ...], examples: int) -> None:
    found = failures(api, phases, examples)
    assert not found, "\n\n".join(found)


def _failures_of(recorder: Any) -> Iterator[str]:
    for case, checks in recorder.checks.items():
        operation = recorder.cases[case].value.operation.label
        for check in checks:
            if check.failure_info is not None:
                failure = check.failure_info.failure
                request = check.failure_info.code_sample[:800]
                yield f"{operation}: {failure.title}: {failure.message[:600]}\n  {request}"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_border_of_every_field_keeps_to_the_document(api: Api) -> None:
    check(api, ("coverage",), 1)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_many_requests_and_sequences_of_them_keep_to_the_document(api: Api) -> None:
    check(api, ("examples", "fuzzing", "stateful"), 40)
