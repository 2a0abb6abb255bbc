"""A gate's verdict as Dagster keeps it. Put here: verdicts as metadata, and back. Keep out: judging."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from expectations.data_docs import DataDocs
from expectations.gate import Verdict

SHOWN = 10
PASSED = "suite_passed"
_SAID = ("suite", PASSED, "failing_rows", "data_docs")


def verdict_metadata(verdict: Verdict, docs: DataDocs) -> dict[str, Any]:
    """The suite's result, the rows that break it, and the page that says more."""
    good = verdict.expectations - len(verdict.failed)
    state = "passed" if verdict.passed else "FAILED"
    met = f"{good} of {verdict.expectations} expectations met by {verdict.rows} rows"
    return {
        "suite": f"{verdict.asset}: {state}, {met}",
        PASSED: verdict.passed,
        "failing_rows": dg.MetadataValue.md("\n\n".join(map(_fact, verdict.failed)) or "none"),
        "data_docs": dg.MetadataValue.url(docs.link(verdict.page or "")),
    }


def check_result(metadata: Mapping[str, Any]) -> dg.AssetCheckResult:
    """The blocking check's result out of a verdict's metadata."""
    said = {name: metadata[name] for name in _SAID if name in metadata}
    passed = said[PASSED]
    return dg.AssetCheckResult(
        passed=passed if isinstance(passed, bool) else bool(passed.value),
        severity=dg.AssetCheckSeverity.ERROR,
        metadata=said,
    )


def _fact(fact: Any) -> str:
    title = f"**{fact.name}**: {fact.violations} do not {fact.doc}"
    rows = fact.sample.head(SHOWN)
    if not rows.width or rows.is_empty():
        return title
    shown = [name for name in rows.columns if rows[name].null_count() < rows.height][:14]
    lines = ["| " + " | ".join(shown) + " |", "|" + "---|" * len(shown)]
    lines += ["| " + " | ".join(str(value) for value in row) + " |" for row in rows.select(shown).iter_rows()]
    return title + "\n\n" + "\n".join(lines)
