"""`python -m tools.sandbox_schema [--check]`: docs/sandbox.schema.json out of sandbox/schema.py, and the step kinds of docs/sandbox.md out
of sandbox/steps.py. Keep out: what they say."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from sandbox.schema import scenario_schema
from sandbox.steps import KINDS, Kind

DOCS = Path(__file__).parents[1] / "docs"
FILE, PAGE = DOCS / "sandbox.schema.json", DOCS / "sandbox.md"
BEGIN, END = "<!-- steps: made by python -m tools.sandbox_schema -->", "<!-- end of steps -->"


def render() -> str:
    """The schema, the whole file."""
    return json.dumps(scenario_schema(), indent=2, ensure_ascii=False) + "\n"


def page() -> str:
    """The page with its section of step kinds as the code says."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN, 1)
    _, after = rest.split(END, 1)
    return before + BEGIN + "\n\n" + _steps() + "\n" + END + after


def _steps() -> str:
    return "\n".join(_kind(name, kind) for name, kind in KINDS.items())


def _kind(name: str, kind: Kind) -> str:
    own = "".join(
        f"* `{field}`: {says}{' Required.' if field in kind.needs else ''}\n"
        for field, says in kind.fields.items()
    )
    body = f"* further fields: those of {kind.body}\n" if kind.body else ""
    short = f"* short: `{name}: …` with the {kind.short} alone\n" if kind.short else ""
    return f"### {name}\n\n{kind.says}\n\n```yaml\n- {kind.example}\n```\n\n{own}{body}{short}"


def main(arguments: list[str]) -> int:
    """Write both, or with --check say whether they are up to date (exit code 1: they are not)."""
    wanted = {FILE: render(), PAGE: page()}
    if "--check" not in arguments:
        for file, text in wanted.items():
            file.write_text(text, encoding="utf-8")
        return 0
    stale = [
        file.name
        for file, text in wanted.items()
        if not file.exists() or file.read_text(encoding="utf-8") != text
    ]
    if stale:
        sys.stderr.write(f"{', '.join(stale)} out of date: run `python -m tools.sandbox_schema`\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
