"""Claims about reading scenarios: whatever is wrong is told with its place, its value and what would be right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandbox.play import run
from sandbox.scenario import BadScenario, load, read
from tests.sandbox.worlds import CATALOG, many, scenario

WRONG = [
    ({"name": "x"}, "catalog: is missing; write what `aforo apply` reads"),
    (scenario(steps=[{"paus": "sub-ada"}]), "steps[0]: 'paus' is no kind of step; there are amendEvent, apply"),
    (scenario(steps=[{"at": "2026-03-05"}]), "steps[0]: says nothing; a step is one of"),
    (scenario(steps=[{"pause": "a", "resume": "a"}]), "steps[0]: says pause and resume"),
    (scenario(steps=[{"bill": "March"}]), "steps[0].bill.month: 'March' is not a month"),
    (scenario(steps=[{"at": "soon", "wait": None}]), "steps[0].at: 'soon' is not a time"),
    (scenario(steps=[{"at": "2026-04-01", "wait": None}, {"at": "2026-03-01", "wait": None}]), "steps[1].at"),
    (scenario(steps=[{"changePlan": {"targetOfferingId": "x"}}]), "steps[0].changePlan.subscription: is missing"),
    (scenario(steps=[{"pause": {"subscription": "a", "why": "b"}}]), "steps[0].pause.why: 'why' is no field of pause"),
    (scenario(steps=[{"pause": "sub-ada", "tenant": "x"}]), "steps[0].tenant: 'x' is no tenant of the catalog"),
    (scenario(events=[many(to="2026-02-01")]), "events[0].generate.to: is not after from"),
    (scenario(events=[many(clockAhead="six")]), "events[0].generate.clockAhead: 'six' is no length of time"),
    (scenario(events=[many(quantity=-1)]), "events[0].generate.quantity: -1 must be at least 0"),
    (scenario(events=[many(colour="red")]), "events[0].generate.colour: is not a field known here"),
    (scenario(events=[{"customer": "ada", "metric": "calls"}]), "events[0].receivedAt: is missing"),
    ({**scenario(), "expects": {}}, "expects: is not a field known here"),
    (scenario(catalog={**CATALOG, "units": [{"key": "calls"}]}), "catalog.units[0]"),
]  # fmt: skip


@pytest.mark.parametrize(("document", "complaint"), WRONG, ids=[complaint[:40] for _, complaint in WRONG])
def test_a_wrong_file_is_refused_with_the_place(document: dict[str, Any], complaint: str) -> None:
    with pytest.raises(BadScenario) as refused:
        read(document, "file.yaml")
    assert f"file.yaml: {complaint}" in str(refused.value)


def test_a_field_that_a_service_refuses_is_told_with_the_step(server: str) -> None:
    wrong = scenario(steps=[{"wallet": {"customerId": "ada", "initialBalance": -3}}])
    with pytest.raises(BadScenario, match=r"steps\[0\]\.wallet\.initialBalance: -3 must be at least 0"):
        run(read(wrong), server)


def test_a_bill_happens_when_production_bills() -> None:
    (step,) = read(scenario(steps=[{"bill": "2026-12"}])).steps
    assert step.at.isoformat() == "2027-01-01T12:30:00+00:00"


def test_a_file_that_is_no_yaml_is_refused(tmp_path: Path) -> None:
    from storage.catalog_file import UnreadableCatalog

    (tmp_path / "x.yaml").write_text("a: [", encoding="utf-8")
    with pytest.raises(UnreadableCatalog, match="is not YAML"):
        load(tmp_path / "x.yaml")
