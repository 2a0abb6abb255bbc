"""The `aforo` command: the list of its parts. Keep out: any one command (they live in stack/commands)."""

from __future__ import annotations

from importlib import import_module

import typer

from stack.console import Commands

COMMAND_FILES = (
    "lifecycle",
    "demo",
    "apply",
    "export",
    "schema",
    "ingest",
    "bill",
    "invoices",
    "credit_notes",
    "replay",
    "evidence",
    "sandbox",
    "dlq",
    "events",
    "sql",
    "audit",
)
"""In the order `aforo --help` shows them."""

app = typer.Typer(
    name="aforo",
    cls=Commands,
    help="Usage-based billing as a data platform: events in, provable invoices out.",
    epilog="Exit codes: 0 done, 1 failed, 2 wrong use, 3 refused (a gate or a contradiction).",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

for _name in COMMAND_FILES:
    import_module(f"stack.commands.{_name}").register(app)
