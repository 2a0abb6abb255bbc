"""The examples of docs/pricing.md come to what the page says, by the reference arithmetic and by the pipeline."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from domain.catalog.fields import Fields
from domain.catalog.plan_price import price_plan
from domain.catalog.plan_reading import read_plan
from domain.catalog.plans import RatePlan
from domain.catalog.units import Unit
from domain.period import Schedule, month_bounds
from domain.terms import Contract, plan_terms, terms_of_month
from domain.usage_limits import UsageLimit, read_usage_limits
from storage.catalog_file import load_document
from tests.transforms.billing_rows import metered, terms
from tests.transforms.months import bill_months, contract
from transforms.pipeline import run

PAGE = Path(__file__).parents[2] / "docs" / "pricing.md"
_EXAMPLE = re.compile(
    r"```yaml\n((?:(?!```).)*)```\n\n\| (\w+) \| charge \|\n\| --- \| --- \|\n((?:\|[^\n]*\|\n)+)", re.DOTALL
)

_MONTHS = re.compile(
    r"```yaml\n((?:(?!```).)*)```\n\n\| month \| calls(?: with (\w+) (\w+))? \| charge \|\n\| --- \| --- \| --- \|\n((?:\|[^\n]*\|\n)+)",
    re.DOTALL,
)


def examples() -> list[Any]:
    """(plan as YAML, unit, quantities of events, charge) for each row of each table."""
    found = []
    for text, unit, table in _EXAMPLE.findall(PAGE.read_text(encoding="utf-8")):
        for row in table.splitlines():
            used, charge = (cell.strip() for cell in row.strip("|").split("|"))
            events = [Decimal(part) for part in used.split("+")]
            name = f"{text.split()[1]}-{used}"
            found.append(pytest.param(text, unit, events, Decimal(charge), id=name))
    return found


def bills() -> list[Any]:
    """(plan as YAML, field and value of each event, {month: (calls, charge)}) for each table of months."""
    found = []
    for text, name, value, table in _MONTHS.findall(PAGE.read_text(encoding="utf-8")):
        rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()]
        used = {month: (calls, Decimal(charge)) for month, calls, charge in rows}
        found.append(pytest.param(text, (name, value) if name else None, used, id=text.split()[1]))
    return found


def plan_in(text: str, folder: Path) -> RatePlan:
    file = folder / "plan.yaml"
    file.write_text(text, encoding="utf-8")
    return read_plan(Fields(load_document(file), ""), "USD")


def billed(
    plan: RatePlan, unit: str, events: list[Decimal], limits: tuple[UsageLimit, ...] = ()
) -> dict[str, Any]:
    """All ten stages over a month of the plan with these events; unrounded charges of events are those of the price."""
    from tests.transforms.charged_events import with_event_charges

    content = plan.content({price.unit: Unit(price.unit, price.unit, "SUM") for price in plan.prices})
    march = month_bounds("2026-03")
    schedule = Schedule(march.start.date(), "MONTHLY", 1, "UTC")
    agreed = plan_terms(plan.key, 1, content)
    contract = Contract(
        "acme",
        "c1",
        "sub",
        schedule,
        march.start,
        None,
        "o",
        "POSTPAID",
        "main",
        "HALF_EVEN",
        agreed,
        limits=limits,
    )
    rows = terms_of_month(contract, "2026-03")
    line = next(row for row in rows if row["unit"] == unit)
    usage = metered(*((line, str(event)) for event in events))
    return run(metered_events=with_event_charges(usage, line), terms=terms(*rows))


_LIMITS = re.compile(
    r"```yaml\nkey: capped\n(?P<plan>(?:(?!```).)*)```.*?```yaml\n(?P<limits>usageLimits:(?:(?!```).)*)```\n\n"
    r"\| calls \| charge with this limit \|\n\| --- \| --- \|\n(?P<rows>(?:\|[^\n]*\|\n)+)",
    re.DOTALL,
)


def test_a_subscriptions_own_limit_comes_to_what_the_page_says(tmp_path: Path) -> None:
    found = _LIMITS.search(PAGE.read_text(encoding="utf-8"))
    assert found is not None
    (tmp_path / "limits.yaml").write_text(found["limits"], encoding="utf-8")
    limits = read_usage_limits(Fields(load_document(tmp_path / "limits.yaml"), ""))
    plan = plan_in(f"key: capped\n{found['plan']}", tmp_path)
    for row in found["rows"].splitlines():
        used, charge = (Decimal(cell.strip()) for cell in row.strip("|").split("|"))
        assert billed(plan, "calls", [used], limits)["settlements"]["total"].to_list() == [charge]


def test_the_page_has_an_example_of_every_model() -> None:
    text = PAGE.read_text(encoding="utf-8")
    models = ("PER_UNIT", "FLAT_RATE", "PERCENTAGE", "INCLUDED_QUOTA", "GRADUATED", "VOLUME_TIERED")
    assert [model for model in models if f"### {model}: " not in text] == []
    assert len(examples()) > 30
    assert len(bills()) == text.count("| month | calls")


@pytest.mark.parametrize(("text", "unit", "events", "charge"), examples())
def test_a_plan_costs_what_the_page_says(
    text: str, unit: str, events: list[Decimal], charge: Decimal, tmp_path: Path
) -> None:
    assert price_plan(plan_in(text, tmp_path), {unit: events}).total == charge


@pytest.mark.parametrize(("text", "unit", "events", "charge"), examples())
def test_the_pipeline_bills_what_the_page_says(
    text: str, unit: str, events: list[Decimal], charge: Decimal, tmp_path: Path
) -> None:
    plan = plan_in(text, tmp_path)
    assert billed(plan, unit, events)["settlements"]["total"].to_list() == [charge]


@pytest.mark.parametrize(("text", "field", "used"), bills())
def test_bills_one_after_another_come_to_what_the_page_says(
    text: str, field: tuple[str, str] | None, used: dict[str, tuple[str, Decimal]], tmp_path: Path
) -> None:
    agreed = contract(plan_in(text, tmp_path), datetime(2026, 1, 1, tzinfo=UTC))
    quantities = {month: quantity for month, (quantity, _) in used.items()}
    made = bill_months([agreed], quantities, payload=json.dumps(dict([field] if field else [])))
    totals = {month: tables["settlements"]["total"].sum() for month, tables in made.items()}
    assert totals == {month: charge for month, (_, charge) in used.items()}
