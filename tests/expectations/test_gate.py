"""The gate: a suite's facts before Great Expectations."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path

import polars as pl

from expectations.catalogue import suite_of
from expectations.gate import Verdict, expectation_suite, run_gate
from expectations.suite import find_facts
from tests.expectations.month import good_month
from tests.expectations.test_suites import row

LINES = suite_of("rated_lines")


def judged(frame: pl.DataFrame, docs: Path | None = None) -> Verdict:
    related = {name: good_month()[name].lazy() for name in LINES.related}
    return run_gate(LINES, frame.lazy(), related, docs=docs, run="run_1")


def test_a_good_table_passes_and_says_how_much_was_looked_at() -> None:
    verdict = judged(good_month()["rated_lines"])
    assert (verdict.passed, verdict.failed, verdict.page) == (True, (), None)
    assert (verdict.rows, verdict.expectations) == (13, 9)


def test_a_bad_table_fails_with_each_broken_expectation_and_its_rows() -> None:
    verdict = judged(row(line_id="ln_nowhere", unrounded=Decimal(-9))(good_month()["rated_lines"]))
    assert not verdict.passed
    broken = {fact.name: fact for fact in verdict.failed}
    assert set(broken) >= {"no_orphan_line", "no_line_lost", "rounded_once"}
    assert broken["no_orphan_line"].sample["line_id"].to_list() == ["ln_nowhere"]


def test_the_page_shows_every_expectation_in_words(tmp_path: Path) -> None:
    verdict = judged(good_month()["rated_lines"], docs=tmp_path)
    assert verdict.page == "rated_lines/run_1.html"
    page = (tmp_path / verdict.page).read_text(encoding="utf-8")
    assert "events_add_up" in page
    assert "no_line_lost" in page


def test_a_failed_gate_has_a_page_as_well(tmp_path: Path) -> None:
    verdict = judged(row(line_id="ln_nowhere")(good_month()["rated_lines"]), docs=tmp_path)
    assert not verdict.passed
    assert verdict.page is not None and (tmp_path / verdict.page).exists()


def test_great_expectations_keeps_one_expectation_per_fact_with_its_meaning() -> None:
    related = {name: good_month()[name].lazy() for name in LINES.related}
    facts = find_facts(LINES, good_month()["rated_lines"].lazy(), related)
    kept = expectation_suite(LINES, facts)
    assert [each.column for each in kept.expectations] == [fact.name for fact in facts.facts]  # type: ignore[attr-defined]
    assert "Every row of rated_lines must have no line without terms or usage." in [
        e.notes for e in kept.expectations
    ]


def test_nothing_is_sent_anywhere() -> None:
    assert os.environ["GX_ANALYTICS_ENABLED"] == "false"
