"""The edge does what its OpenAPI document says, whatever is sent to it: no server error, no answer it does not know. Keep out: claims
about one door."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from redis import Redis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from api.edge.app import create_app
from api.edge.settings import EdgeSettings
from tests.api.edge.world import TENANT_KEY

REFUSED = ["400", "401", "402", "403", "404", "405", "406", "408", "409", "413", "415", "422", "429"]


def settings(examples: int, phases: tuple[str, ...]) -> SchemathesisConfig:
    return SchemathesisConfig.from_dict(
        {
            "seed": 1,
            "headers": {"Authorization": f"Bearer {TENANT_KEY}"},
            "checks": {
                "positive_data_acceptance": {"expected-statuses": ["2xx", *REFUSED]},
                "negative_data_rejection": {"expected-statuses": ["2xx", *REFUSED]},
                "use_after_free": {"enabled": False},
            },
            "continue-on-failure": True,
            "phases": {
                name: {"enabled": name in phases} for name in ("examples", "coverage", "fuzzing", "stateful")
            },
            "generation": {
                "max-examples": examples,
                "deterministic": True,
                "no-shrink": True,
                "database": "none",
            },
        }
    )


def failures(redis_url: str, examples: int, phases: tuple[str, ...], home: Any) -> list[str]:
    app = create_app(EdgeSettings(redis_url=redis_url, home=str(home), access_seconds=5.0, limits={}))
    schema = schemathesis.openapi.from_asgi("/openapi.json", app, config=settings(examples, phases))
    # A stream never ends, and single events are looked up at the management door, which is not there: see test_live.py, test_lookups.py.
    schema = schema.exclude(path=["/v1/stream", "/v1/events/{key}"])
    found: dict[str, None] = {}
    for event in from_schema(schema).execute():
        if isinstance(event, events.NonFatalError | events.FatalError):
            found[str(getattr(event, "value", None) or getattr(event, "exception", event))] = None
        elif isinstance(event, events.ScenarioFinished):
            for case_id, checks in event.recorder.checks.items():
                case = event.recorder.cases[case_id].value
                for check in checks:
                    if check.failure_info is not None:
                        failure = check.failure_info.failure
                        request = check.failure_info.code_sample[:500]
                        found[f"{case.method} {case.path}: {failure.title} {failure.message}\n{request}"] = (
                            None
                        )
    return list(found)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_edge_answers_as_documented(redis: Redis, redis_url: str, tmp_path: Any) -> None:
    found = failures(redis_url, 30, ("examples", "coverage", "fuzzing"), tmp_path)
    assert not found, f"{len(found)} findings\n" + "\n\n".join(found[:20])
