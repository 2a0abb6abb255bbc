"""Any catalog of plans survives the way through a file: read, written as YAML, read again."""

from __future__ import annotations

import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from domain.catalog.catalog import read_catalog
from domain.catalog.catalog_document import catalog_document
from domain.catalog.plan_terms import OVERAGE
from domain.catalog.plans import MODELS, TIERED
from domain.quantity import plain
from storage.catalog_export import export_catalog
from storage.catalog_file import dump_document, load_document
from storage.catalog_service import apply_catalog, plan_changes
from storage.database import make_engine, session_scope

UNITS = ("calls", "bytes", "users")
money = st.decimals(0, 10**6, places=12).map(plain) | st.integers(0, 10**6)
above_zero = st.decimals(Decimal("0.000001"), 10**6, places=6).map(plain)
text = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40).filter(str.strip)
dimensions = st.dictionaries(text, money.map(lambda factor: {"multiplier": factor}), min_size=1, max_size=3)


@st.composite
def tiers(draw: st.DrawFn) -> list[dict[str, Any]]:
    bounds = sorted(draw(st.sets(st.integers(1, 10**9), max_size=3)))
    bands = [{"upTo": bound} for bound in bounds]
    return [{**band, "unitPrice": draw(money), "flatFee": draw(money)} for band in [*bands, {}]]


@st.composite
def prices(draw: st.DrawFn, unit: str) -> dict[str, Any]:
    model = draw(st.sampled_from(MODELS))
    price: dict[str, Any] = {"unit": unit, "model": model, "billingTiming": "ARREARS"}
    if model == "FLAT_RATE":
        return price | {"flatRate": draw(money)}
    price |= {"tiers": draw(tiers())} if model in TIERED else {"rate": draw(money)}
    if draw(st.booleans()):
        price |= {"limit": draw(above_zero), "ovBehavior": draw(st.sampled_from(OVERAGE))}
    if draw(st.booleans()):
        price |= {"includedFree": draw(above_zero), "minFee": draw(money), "rollover": draw(st.booleans())}
    if model == "INCLUDED_QUOTA" and draw(st.booleans()):
        price |= {
            "blockSize": draw(above_zero),
            "blockRateBasis": draw(st.sampled_from(["PER_BLOCK", "PER_UNIT"])),
        }
    return price | draw(st.just({}) | dimensions.map(lambda values: {"dimensionPricing": {"values": values}}))


@st.composite
def plans(draw: st.DrawFn, key: str) -> dict[str, Any]:
    priced = draw(st.lists(st.sampled_from(UNITS), unique=True))
    fees = draw(st.dictionaries(st.sampled_from(["baseFee", "setupFee", "minimumSpend"]), money))
    plan = {
        "key": key,
        "name": draw(text),
        "baseFee": "1",
        **fees,
        "metrics": [draw(prices(unit)) for unit in priced],
    }
    return plan | draw(st.just({}) | text.map(lambda said: {"description": said}))


@st.composite
def catalogs(draw: st.DrawFn) -> dict[str, Any]:
    units = [{"key": unit, "aggregation": "SUM", "description": draw(text)} for unit in UNITS]
    keys = draw(st.sets(st.sampled_from(["a", "b", "007", "1e3", "yes"]), min_size=1))
    return {
        "tenant": {"id": "acme", "name": draw(text)},
        "units": units,
        "ratePlans": [draw(plans(key)) for key in sorted(keys)],
    }


def through_a_file(document: Any) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "catalog.yaml"
        file.write_text(dump_document(document, {"ratePlans": {"a": "version 1"}}), encoding="utf-8")
        return load_document(file)


@settings(max_examples=60, deadline=None)
@given(catalogs())
def test_a_catalog_written_and_read_again_is_the_same(document: dict[str, Any]) -> None:
    catalog = read_catalog(document)
    written = catalog_document(catalog)
    assert read_catalog(through_a_file(written)) == catalog
    assert catalog_document(read_catalog(through_a_file(written))) == written


@pytest.fixture
def engine(database_url: str) -> Any:
    found = make_engine(database_url)
    yield found
    found.dispose()


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(catalogs())
def test_an_export_applied_again_changes_nothing(engine: Engine, document: dict[str, Any]) -> None:
    with session_scope(engine) as session:
        apply_catalog(session, read_catalog(document))
    with session_scope(engine) as session:
        export = export_catalog(session, "acme")
        changes = plan_changes(session, read_catalog(through_a_file(export.document))).changes
        again = export_catalog(session, "acme")
    assert {change.action for change in changes} == {"unchanged"}
    assert again == export
