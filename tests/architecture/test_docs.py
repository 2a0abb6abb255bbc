"""Claims of the documentation that a tool can check. Put here: docs against code. Keep out: the code's own style (test_house)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tools import frames_doc
from transforms.frames import TABLES
from transforms.pipeline import STAGES

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "benchmarks" / "README.md", *(ROOT / "docs").rglob("*.md")])


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def glossary_rows() -> list[list[str]]:
    rows = [
        line.strip("|").split("|") for line in read("docs/glossary.md").splitlines() if line.startswith("| ")
    ]
    return [[cell.strip() for cell in row] for row in rows if row[0].strip() not in ("term", "---")]


def test_the_page_of_tables_is_the_one_generated_from_the_code() -> None:
    assert frames_doc.FILE.read_text(encoding="utf-8") == frames_doc.render(), (
        "run `python -m tools.frames_doc`"
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_files_named_in_pages_exist(page: Path) -> None:
    named = re.findall(
        r"`((?:transforms|domain|storage|stack|sandbox|expectations|orchestration|api|tools|examples)/[\w/.-]+)`",
        page.read_text("utf-8"),
    )
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_pipeline_page_lists_the_stages_in_their_order() -> None:
    listed = re.findall(r"^\| (\d+) \| (\w+) \| `(\w+)` \|", read("docs/pipeline.md"), re.MULTILINE)
    assert listed == [(str(n), stage.name, stage.makes) for n, stage in enumerate(STAGES, start=1)]


def test_the_pipeline_page_gives_each_stage_the_reason_the_code_gives() -> None:
    reasons = re.findall(r"^    # (.+)\n    Stage\(\"(\w+)\"", read("transforms/pipeline.py"), re.MULTILINE)
    listed = re.findall(r"^\| \d+ \| (\w+) \| `\w+` \| (.+) \|$", read("docs/pipeline.md"), re.MULTILINE)
    assert listed == [(name, reason) for reason, name in reasons]


def test_the_glossary_says_each_term_once() -> None:
    terms = [row[0] for row in glossary_rows()]
    assert len(terms) > 40
    assert sorted(terms) == sorted(set(terms))


def test_no_table_or_column_is_named_by_a_banned_word() -> None:
    names = set(TABLES) | {name for table in TABLES.values() for name in table.schema}
    banned = {
        "organization",
        "workspace",
        "subscriber",
        "meter",
        "usage_record",
        "dedup_key",
        "event_time",
        "tariff",
    }
    in_glossary = {word.strip().replace(" ", "_") for row in glossary_rows() for word in row[2].split(",")}
    assert banned <= in_glossary
    assert names & banned == set()


def test_the_api_page_names_every_route() -> None:
    from fastapi import FastAPI

    from api.edge.app import create_app
    from api.edge.settings import EdgeSettings

    app: FastAPI = create_app(EdgeSettings())
    page = read("docs/api.md")
    assert [path for path in app.openapi()["paths"] if path not in page] == []


def test_decisions_are_numbered_and_keep_what_was_rejected() -> None:
    pages = sorted((ROOT / "docs" / "adr").glob("*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert text.startswith(f"# {int(page.name[:4])}. "), page.name
        assert {"## Context", "## Decision", "## Rejected", "## Consequences"} <= set(text.splitlines()), (
            page.name
        )
