"""`aforo sandbox`: scenarios on a movable clock. Put here: the commands. Keep out: playing (sandbox), its tables (sandbox/telling.py)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from stack.console import Exit, emit, out

LIBRARY = Path(__file__).parents[2] / "examples" / "sandbox"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        help="Play scenarios: a small world, a movable clock, what it comes to.", no_args_is_help=True
    )
    group.command(epilog="Example: aforo sandbox run examples/sandbox/plan-upgrade.yaml")(run)
    group.command("list", epilog="Example: aforo sandbox list")(list_scenarios)
    group.command(epilog="Example: aforo sandbox schema > sandbox.schema.json")(schema)
    app.add_typer(group, name="sandbox")


def run(
    scenario: Annotated[
        Path, typer.Argument(help="The scenario as YAML, or the name of one that ships with Aforo.")
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print everything that came of it as JSON.")
    ] = False,
) -> None:
    """Play a scenario in a scratch database and lake, through the code that bills.

    Exit code 1: something was expected otherwise; 2: the file is no scenario, and the message says where and why.
    """
    from sandbox.play import run as play
    from sandbox.scenario import load
    from sandbox.telling import show
    from stack.sandbox_server import sandbox_server
    from stack.settings import Settings

    shipped = LIBRARY / f"{scenario}.yaml"
    read = load(shipped if not scenario.exists() and shipped.exists() else scenario)
    with sandbox_server(Settings().folder) as server:
        outcome = play(read, server)
    if as_json:
        emit(outcome.as_json())
    else:
        show(outcome, out)
    if not outcome.met:
        raise typer.Exit(Exit.FAILED)


def list_scenarios(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """List the scenarios that ship with Aforo."""
    from rich.table import Table

    from storage.catalog_file import load_document

    found = {file.stem: load_document(file)["name"] for file in sorted(LIBRARY.glob("*.yaml"))}
    if as_json:
        emit([{"scenario": name, "name": says} for name, says in found.items()])
        return
    table = Table("scenario", "what it shows")
    for name, says in found.items():
        table.add_row(name, says)
    out.print(table)


def schema() -> None:
    """Print the JSON Schema of scenario files, for editors."""
    from sandbox.schema import scenario_schema

    typer.echo(json.dumps(scenario_schema(), indent=2, ensure_ascii=False))
