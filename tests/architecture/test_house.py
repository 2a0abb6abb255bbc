"""Claims about the repository itself: what the house style promises and a tool can count."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = (
    "api",
    "assets",
    "documents",
    "domain",
    "expectations",
    "orchestration",
    "providers",
    "sandbox",
    "stack",
    "storage",
    "transforms",
)
CHECKED = (*SOURCES, "tests", "benchmarks")
FILE_LIMIT, FUNCTION_LIMIT = 500, 60


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def published_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_no_file_is_longer_than_500_lines() -> None:
    lengths = {
        named(path): len(path.read_text(encoding="utf-8").splitlines()) for path in python_files(*CHECKED)
    }
    assert {name: n for name, n in lengths.items() if n > FILE_LIMIT} == {}


def test_no_function_is_longer_than_60_lines() -> None:
    lengths = {
        f"{named(path)}:{function.name}": (function.end_lineno or 0) - function.lineno + 1
        for path in python_files(*CHECKED)
        for function in functions(path)
    }
    assert {name: n for name, n in lengths.items() if n > FUNCTION_LIMIT} == {}


def test_every_module_has_a_sign_on_its_door() -> None:
    without = [
        named(path)
        for path in python_files(*SOURCES)
        if not ast.get_docstring(ast.parse(path.read_text("utf-8")))
    ]
    assert without == []


def test_packages_hold_nothing_but_their_sign() -> None:
    full = [
        named(path)
        for path in python_files(*SOURCES)
        if path.name == "__init__.py" and len(ast.parse(path.read_text(encoding="utf-8")).body) > 1
    ]
    assert full == []


def test_asset_files_keep_their_annotations_real() -> None:
    postponed = [
        named(path)
        for path in python_files("assets")
        if "from __future__ import annotations" in path.read_text("utf-8")
    ]
    assert postponed == [], "Dagster reads the annotations of assets: they must not be strings"


def test_great_expectations_is_never_loaded_with_analytics_on() -> None:
    for path in python_files(*SOURCES):
        text = path.read_text(encoding="utf-8")
        if re.search(r"^\s*(import|from) great_expectations", text, re.MULTILINE):
            assert "GX_ANALYTICS_ENABLED" in text, (
                f"{named(path)} must turn analytics off before it imports GX"
            )


def test_every_locked_package_is_pinned_by_hash() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8").replace("\\\n", " ")
    packages = [line for line in lock.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert packages
    assert [line.split()[0] for line in packages if "==" not in line or "--hash=sha256:" not in line] == []


def test_everything_the_project_asks_for_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = [re.split(r"[\[<>=!~; ]", line, maxsplit=1)[0].lower() for line in wanted]
    assert [name for name in names if not re.search(rf"^{re.escape(name)}==", lock, re.MULTILINE)] == []


def test_the_repository_names_no_machine_and_no_package_registry() -> None:
    forbidden = re.compile(
        r"/(?:root|home|Users)/\w|/work/\w|pypi\.org|pythonhosted|--(?:extra-)?index-url\s+\S|"
        r"\b(?:10|192\.168|172\.(?:1[6-9]|2\d|3[01]))(?:\.\d{1,3}){2,3}\b"
    )
    here = Path(__file__).resolve()
    found = []
    for path in published_files():
        if path == here or path.suffix in {".png", ".parquet", ".gz"}:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [f"{named(path)}: {match.group()}" for match in forbidden.finditer(text)]
    assert found == []


def test_data_and_environments_are_never_published() -> None:
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    assert {".aforo/", ".venv/", "__pycache__/", "*.egg-info/"} <= set(ignored)


def test_no_key_is_published() -> None:
    secret = re.compile(r"sk_live_[A-Za-z0-9]{40}|-----BEGIN [A-Z ]*PRIVATE KEY-----")
    assert [
        named(path) for path in published_files() if secret.search(path.read_text("utf-8", errors="replace"))
    ] == []
