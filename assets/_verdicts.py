"""A gate's verdict as Dagster shows it. Put here: metadata of verdicts. Keep out: judging."""

from typing import Any

import dagster as dg

from expectations.gate import Verdict

SHOWN = 10


def verdict_metadata(verdict: Verdict) -> dict[str, Any]:
    """The suite's result in one line."""
    good = verdict.expectations - len(verdict.failed)
    state = "passed" if verdict.passed else "FAILED"
    return {
        "suite": f"{verdict.asset}: {state}, {good} of {verdict.expectations} expectations met by {verdict.rows} rows"
    }


def failing_rows(verdict: Verdict) -> dg.MarkdownMetadataValue:
    """The broken expectations, each with some of the rows that break it."""
    return dg.MetadataValue.md("\n\n".join(_fact(fact) for fact in verdict.failed) or "none")


def _fact(fact: Any) -> str:
    title = f"**{fact.name}**: {fact.violations} do not {fact.doc}"
    rows = fact.sample.head(SHOWN)
    if not rows.width or rows.is_empty():
        return title
    shown = [name for name in rows.columns if rows[name].null_count() < rows.height][:14]
    lines = ["| " + " | ".join(shown) + " |", "|" + "---|" * len(shown)]
    lines += ["| " + " | ".join(str(value) for value in row) + " |" for row in rows.select(shown).iter_rows()]
    return title + "\n\n" + "\n".join(lines)
