"""The gate: a suite's facts put before Great Expectations, its verdict and its page. Keep out: Dagster, storage.

Row rules run as expressions where the rows are; Great Expectations judges the facts (violations of each rule must be 0), keeps the
suite and the result, and renders the Data Docs page. So a gate costs the same here for ten rows and for ten million.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

os.environ["GX_ANALYTICS_ENABLED"] = "false"

import great_expectations as gx
import pandas as pd
import polars as pl
from great_expectations.core import ExpectationSuite, ExpectationSuiteValidationResult
from great_expectations.data_context.types.base import (
    DataContextConfig,
    InMemoryStoreBackendDefaults,
    ProgressBarsConfig,
)
from great_expectations.render.renderer import ValidationResultsPageRenderer
from great_expectations.render.view import DefaultJinjaPageView

from expectations.suite import Fact, Facts, Frames, Suite, find_facts

LATEST = "latest"


@dataclass(frozen=True)
class Verdict:
    """What a gate said of a table. `page` is the Data Docs page, relative to the docs folder, or None if none was asked for."""

    asset: str
    passed: bool
    rows: int
    expectations: int
    failed: tuple[Fact, ...]
    page: str | None


def run_gate(
    suite: Suite,
    frame: pl.LazyFrame,
    related: Frames,
    *,
    docs: Path | None = None,
    run: str = LATEST,
    keep: bool = True,
) -> Verdict:
    """Judge a table. docs: folder for the result's page. run: what this judgement is called there. keep: give it a page of
    its own also where all is well; otherwise a good result overwrites the last good one, so that a gate that opens every
    minute does not fill the disk."""
    facts = find_facts(suite, frame, related)
    result = _judge(suite, facts)
    passed = bool(result.success)
    name = run if keep or not passed else LATEST
    page = _write_page(result, docs, suite.asset, name) if docs else None
    failed = tuple(fact for fact in facts.facts if fact.violations)
    return Verdict(suite.asset, passed, facts.rows, len(result.results), failed, page)


def expectation_suite(suite: Suite, facts: Facts) -> ExpectationSuite:
    """The suite as Great Expectations keeps it: every fact's violations must be 0."""
    return ExpectationSuite(
        name=suite.asset,
        expectations=[
            gx.expectations.ExpectColumnMaxToBeBetween(
                column=fact.name,
                min_value=0,
                max_value=0,
                notes=f"Every row of {suite.asset} must {fact.doc}.",
            )
            for fact in facts.facts
        ],
    )


def _judge(suite: Suite, facts: Facts) -> ExpectationSuiteValidationResult:
    batches = _batches()
    observed = pd.DataFrame({fact.name: [fact.violations] for fact in facts.facts})
    return batches.get_batch({"dataframe": observed}).validate(
        expectation_suite(suite, facts), result_format="COMPLETE"
    )


@cache
def _batches() -> Any:
    stores = InMemoryStoreBackendDefaults(init_temp_docs_sites=False)
    context = gx.get_context(
        project_config=DataContextConfig(store_backend_defaults=stores, analytics_enabled=False)
    )
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    source = context.data_sources.add_pandas("aforo")
    return source.add_dataframe_asset("facts").add_batch_definition_whole_dataframe("facts")


@cache
def _view() -> DefaultJinjaPageView:
    """One view for all pages: a new one would compile its templates anew."""
    return DefaultJinjaPageView()


def _write_page(result: ExpectationSuiteValidationResult, docs: Path, asset: str, run: str) -> str:
    document = ValidationResultsPageRenderer(run_info_at_end=True).render(result)
    page = Path(asset) / f"{run}.html"
    target = docs / page
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(_view().render(document), encoding="utf-8")
    return page.as_posix()
