"""Month after month of one subscription, each run on what the ones before left. Put here: running them. Keep out: assertions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import polars as pl

from domain.catalog.fields import Fields
from domain.catalog.plan_reading import read_plan
from domain.catalog.plans import RatePlan
from domain.catalog.units import Unit
from domain.period import Schedule
from domain.terms import Contract, plan_terms, terms_of_month
from tests.transforms.billing_rows import terms
from tests.transforms.event_rows import event, validated
from transforms.frames import ALLOWANCES
from transforms.meter import meter
from transforms.pipeline import run
from transforms.s02_rollover import earlier_months, rollover
from transforms.terms import due

Tables = dict[str, pl.DataFrame]


def plan(**written: Any) -> RatePlan:
    return read_plan(Fields({"key": "p", "name": "Pro", **written}, ""), "USD")


def contract(
    agreed: RatePlan, starts_at: datetime, ends_at: datetime | None = None, **given: Any
) -> Contract:
    """The plan from then on, monthly, on the first of the month."""
    units = {price.unit: Unit(price.unit, price.unit.title(), "SUM") for price in agreed.prices}
    schedule = given.pop("schedule", Schedule(starts_at.date(), "MONTHLY", 1, "UTC"))
    return Contract(
        "acme", "c1", "sub", schedule, starts_at, ends_at, "o", "POSTPAID", "main", "HALF_EVEN",
        plan_terms("p", 1, agreed.content(units)), **given,
    )  # fmt: skip


def bill(
    month: str, contracts: Iterable[Contract], used: Iterable[tuple[datetime, Any]] = (), before: pl.DataFrame | None = None, payload: str | None = None,
    bonus: pl.DataFrame | None = None,
) -> Tables:  # fmt: skip
    """All tables of a month. used: (time, quantity) of calls. before: ALLOWANCES of months billed earlier. bonus: BONUS_BALANCES."""
    frozen = terms(*(row for each in contracts for row in terms_of_month(each, month)))
    known = ALLOWANCES.empty() if before is None else before
    earlier = known.filter(pl.col("month").is_in(earlier_months(frozen)))
    unit = {"tenant_id": "acme", "customer_id": "c1", "unit": "calls"}
    events = validated(*(event(unit, quantity, at, payload=payload) for at, quantity in used))
    rollovers = rollover(terms=due(frozen), earlier_allowances=earlier)
    metered = meter(
        validated_events=events.lazy(), terms=frozen, month=month, rollovers=rollovers, bonus_balances=bonus
    )
    made = run(metered_events=metered.lazy(), terms=frozen, earlier_allowances=earlier, bonus_balances=bonus)
    return {"billing_terms": frozen, "metered_events": metered, **made}


def bill_months(
    contracts: Iterable[Contract], used: Mapping[str, Any], payload: str | None = None
) -> dict[str, Tables]:
    """The tables of each month. used: by month, the calls made on its 10th. payload: of each event."""
    made: dict[str, Tables] = {}
    contracts = list(contracts)
    for month, quantity in used.items():
        before = pl.concat([ALLOWANCES.empty(), *(tables["allowances"] for tables in made.values())])
        at = datetime.fromisoformat(f"{month}-10T00:00:00+00:00")
        made[month] = bill(month, contracts, [(at, quantity)] if quantity else [], before, payload)
    return made
