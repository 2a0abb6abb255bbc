"""Whatever is drafted, published and compared, a pinned subscription keeps paying what it agreed to."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from domain.catalog.catalog import read_catalog
from storage.catalog_service import apply_catalog
from storage.database import make_engine, session_scope
from storage.repositories.catalog import CatalogRepository
from storage.services.plan_prices import PlanPrices
from storage.services.rate_plans import RatePlans, pinned_version
from storage.tenancy import tenant_tx

NOW = datetime(2026, 1, 1, tzinfo=UTC)
UNITS = [{"key": key, "aggregation": "SUM"} for key in ("calls", "tokens")]
prices = st.integers(0, 10**6).map(lambda n: str(Decimal(n).scaleb(-5)))
edits = st.fixed_dictionaries(
    {"baseFee": prices, "metricConfigs": st.lists(prices, min_size=1, max_size=2)},
    optional={"minimumSpend": prices, "name": st.sampled_from(["Pro", "Max"])},
)
acts = st.lists(
    st.tuples(st.sampled_from(["edit", "draft", "publish", "schedule", "diff", "rename unit"]), edits),
    max_size=8,
)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = make_engine(database_url)
    yield engine
    engine.dispose()


def body(edit: dict[str, Any]) -> dict[str, Any]:
    """The edit as a body: a rate for one unit or two."""
    rates = zip(("calls", "tokens"), edit["metricConfigs"], strict=False)
    return {
        "name": "Pro",
        **edit,
        "metricConfigs": [{"metricId": unit, "rate": rate} for unit, rate in rates],
    }


def act(engine: Engine, plan: str, kind: str, edit: dict[str, Any], at: datetime) -> None:
    with tenant_tx(engine, "acme", at=at) as tx:
        plans = RatePlans(tx)
        latest = plans.get(plan)
        if kind == "edit":
            plans.edit(plan, body(edit))
        elif kind == "draft":
            plans.make_draft(plan, body(edit))
        elif kind in ("publish", "schedule"):
            plans.make_draft(plan, body(edit))
            later = at + timedelta(days=30) if kind == "schedule" else None
            plans.publish(plan, latest.version + 1, later)
        elif kind == "diff":
            assert plans.diff(plan, latest.version, latest.version) == {}
    if kind == "rename unit":
        with session_scope(engine) as session:
            renamed = [{**unit, "name": f"{unit['key']} at {at:%H%M}"} for unit in UNITS]
            apply_catalog(session, read_catalog({"tenant": {"id": "acme"}, "units": renamed}))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=edits, acts=acts, number=st.integers(0, 10**9))
def test_nothing_done_to_a_plan_changes_what_a_pinned_subscription_pays(
    engine: Engine, first: dict[str, Any], acts: list[tuple[str, dict[str, Any]]], number: int
) -> None:
    with session_scope(engine) as session:
        apply_catalog(session, read_catalog({"tenant": {"id": "acme"}, "units": UNITS}))
    used = {"version": 1, "quantities": {"calls": number}}
    with tenant_tx(engine, "acme", at=NOW) as tx:
        plan = RatePlans(tx).create(body(first)).row.id
        pin = pinned_version(tx.session, "acme", plan, NOW)
        agreed = terms_of(tx.session, plan, pin)
        cost = PlanPrices(tx).price(plan, {**used, "version": pin})[1]
    for step, (kind, edit) in enumerate(acts):
        act(engine, plan, kind, edit, NOW + timedelta(minutes=step + 1))
    with tenant_tx(engine, "acme", at=NOW) as tx:
        assert terms_of(tx.session, plan, pin) == agreed
        assert PlanPrices(tx).price(plan, {**used, "version": pin})[1] == cost
        published = [view for view in RatePlans(tx).versions(plan) if view.status == "PUBLISHED"]
        soon = NOW + timedelta(days=1)
        effective = [
            view.version for view in published if view.effective_at is None or view.effective_at <= soon
        ]
        assert pinned_version(tx.session, "acme", plan, soon) == max(effective)
        assert [view.version for view in published] == list(range(len(published), 0, -1))


def terms_of(session: Any, plan: str, version: int) -> Any:
    """The terms of a version as billing loads them."""
    return CatalogRepository(session, "acme").versions()[plan, version]
