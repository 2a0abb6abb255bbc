"""Claims about the `aforo` command as a whole."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from domain.errors import PermanentFailure
from stack.cli import app
from stack.console import Commands

HEAVY = ("dagster", "pandas", "polars", "great_expectations", "sqlalchemy", "pyarrow", "deltalake", "fastapi")


def commands() -> list[str]:
    return sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def test_help_loads_no_heavy_library() -> None:
    program = f"import sys; import stack.cli; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("command", commands())
def test_every_command_has_help_with_an_example(command: str) -> None:
    shown = CliRunner().invoke(app, [command, "--help"])
    assert shown.exit_code == 0
    assert f"aforo {command}" in shown.output


def test_wrong_use_is_exit_code_2() -> None:
    assert CliRunner().invoke(app, ["up", "--nonsense"]).exit_code == 2


def test_status_without_a_stack_is_exit_code_1(home: Path) -> None:
    shown = CliRunner().invoke(app, ["status", "--json"])
    assert shown.exit_code == 1
    assert json.loads(shown.output)["running"] is False


def test_down_without_a_stack_is_no_failure(home: Path) -> None:
    assert CliRunner().invoke(app, ["down"]).exit_code == 0


def test_a_named_failure_is_a_message_and_its_exit_code() -> None:
    class Refused(PermanentFailure):
        code = "GATE_CLOSED"
        exit_code = 3

    small = typer.Typer(cls=Commands)

    @small.command()
    def one() -> None:
        raise Refused("line [ln_1] has no price")

    @small.command()
    def two() -> None: ...

    shown = CliRunner().invoke(small, ["one"])
    assert shown.exit_code == 3
    assert "GATE_CLOSED line [ln_1] has no price" in shown.output
