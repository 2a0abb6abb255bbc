"""Claims of the scenarios that ship: each one's expectations, worked out by hand on top of its file, are met."""

from __future__ import annotations

from pathlib import Path

import jsonschema.validators
import pytest

from sandbox.play import run
from sandbox.schema import scenario_schema
from storage.catalog_file import load_document
from tools import sandbox_schema

LIBRARY = sorted((Path(__file__).parents[2] / "examples" / "sandbox").glob("*.yaml"))
LARGE = {"a-million-events"}
MANY_MONTHS = {
    "anchor-31", "annual-commitment", "fees-in-advance", "late-under-a-minimum", "prepaid-commitment", "quarterly-and-annual",
    "rollover-with-cap", "disorder-and-batches", "bundle-with-commitments", "fee-ahead-under-a-minimum", "limits-that-move",
}  # fmt: skip
RULES_TRIED_ELSEWHERE = {
    "aggregations", "amend-an-event", "bonus-units", "cancellation", "clock-skew", "coupons-in-order", "dimension-prices", "discounted-fee-comes-back",
    "dst-month", "duplicate-replay", "exchange-rates", "graduated-five-tiers", "hard-caps", "included-quota", "interim-invoices",
    "invoice-life", "late-after-close", "no-price", "packages", "pause-and-resume", "plan-downgrade", "plan-upgrade", "prepaid-block",
    "price-version", "several-tenants", "spend-limit", "time-zones", "trial-end", "unknown-unit", "void-an-event", "volume-tiers",
    "conflicting-keys", "credits-expire", "flat-rate", "hybrid", "leap-year-february", "low-balance", "maximum-spend", "one-invoice",
    "percentage", "too-old", "wallet-holds",
}  # fmt: skip
LONG = LARGE | MANY_MONTHS | RULES_TRIED_ELSEWHERE
"""Played with the long runs."""


def marked(file: Path) -> object:
    return pytest.param(file, id=file.stem, marks=[pytest.mark.slow] if file.stem in LONG else [])


@pytest.mark.parametrize("file", map(marked, LIBRARY))
def test_a_scenario_comes_to_what_the_hand_computed(file: Path, server: str) -> None:
    outcome = run(file, server, stages=False)
    assert [str(each) for each in outcome.unmet] == []


def test_the_library_is_large_and_every_scenario_expects_something_and_says_why() -> None:
    assert len(LIBRARY) >= 30
    for file in LIBRARY:
        assert file.read_text(encoding="utf-8").startswith("# "), file.name
        assert load_document(file)["expect"], file.name


def test_every_scenario_is_as_the_schema_says() -> None:
    usual = jsonschema.Draft202012Validator
    check = jsonschema.validators.extend(usual, type_checker=_numbers())(scenario_schema())
    for file in LIBRARY:
        assert [
            f"{file.name}: {e.json_path} {e.message[:200]}" for e in check.iter_errors(load_document(file))
        ] == []


def _numbers() -> jsonschema.TypeChecker:
    """YAML's numbers are read as exact decimals."""
    from decimal import Decimal

    usual = jsonschema.Draft202012Validator.TYPE_CHECKER
    return usual.redefine(
        "number", lambda _, value: isinstance(value, int | Decimal) and not isinstance(value, bool)
    )


def test_schema_and_page_are_those_made_from_the_code() -> None:
    assert sandbox_schema.main(["--check"]) == 0, "run `python -m tools.sandbox_schema`"
