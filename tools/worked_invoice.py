"""`python -m tools.worked_invoice [--check]`: plays examples/sandbox/one-invoice.yaml and writes its numbers, stage by stage, into
docs/pipeline.md. Keep out: the scenario, what a stage does."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sandbox.outcome import Outcome
from sandbox.play import run
from transforms.pipeline import STAGES

ROOT = Path(__file__).parents[1]
SCENARIO, PAGE = ROOT / "examples" / "sandbox" / "one-invoice.yaml", ROOT / "docs" / "pipeline.md"
BEGIN, END = "<!-- made by python -m tools.worked_invoice -->", "<!-- end of the worked invoice -->"
MONTH = "2026-03"
SHOWN = {
    "quota_checks": ("unit", "cap", "verdict", "used", "beyond", "events_beyond"),
    "rollovers": ("unit", "from_month", "unused", "carried"),
    "usage_aggregates": ("unit", "aggregation", "events", "value", "beyond"),
    "allowances": ("unit", "value", "included", "billable", "unused"),
    "rated_lines": ("description", "billable", "unrounded", "amount", "tiers"),
    "committed_lines": ("description", "amount", "commit_adjustment"),
    "discounted_lines": ("description", "amount", "commit_adjustment", "discount"),
    "taxed_lines": ("description", "taxable", "tax"),
    "routed_lines": ("description", "destination", "taxable", "tax", "wallet_amount"),
    "settlements": ("lines", "subtotal", "discount", "tax", "total", "wallet_amount", "amount_due"),
}
"""The columns in which a stage's numbers stand; the tables have more."""


def section(outcome: Outcome) -> str:
    """The stages' rows of the month, a table each."""
    parts = []
    for number, stage in enumerate(STAGES, start=1):
        rows = [row for row in outcome.data["stages"][stage.makes] if row["month"] == MONTH]
        parts.append(
            f"**{number}. {stage.name}** makes `{stage.makes}`:\n\n{_table(SHOWN[stage.makes], rows)}"
        )
    return "\n\n".join(parts)


def page(outcome: Outcome) -> str:
    """docs/pipeline.md with the section as the scenario comes to."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN, 1)
    return f"{before}{BEGIN}\n\n{section(outcome)}\n\n{END}{rest.split(END, 1)[1]}"


def _table(columns: Iterable[str], rows: list[dict[str, Any]]) -> str:
    head = "| " + " | ".join(columns) + " |\n| " + " | ".join("---" for _ in columns) + " |"
    lines = ("| " + " | ".join(_cell(row[name]) for name in columns) + " |" for row in rows)
    return "\n".join([head, *lines])


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(f"{tier['quantity']} × {tier['unit_price']}" for tier in value)
    return "" if value is None else str(value)


def main(arguments: list[str]) -> int:
    """Write the section, or with --check say whether it is up to date (exit code 1: it is not)."""
    from stack.sandbox_server import sandbox_server
    from stack.settings import Settings

    with sandbox_server(Settings().folder) as server:
        wanted = page(run(SCENARIO, server))
    if "--check" not in arguments:
        PAGE.write_text(wanted, encoding="utf-8")
        return 0
    if PAGE.read_text(encoding="utf-8") == wanted:
        return 0
    sys.stderr.write("docs/pipeline.md is out of date: run `python -m tools.worked_invoice`\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
