"""How commands speak: tables for people, JSON for scripts, exit codes for both. Keep out: what any one command says."""

from __future__ import annotations

import json
import sys
from enum import IntEnum
from typing import Any

from rich.console import Console
from typer.core import TyperGroup

from domain.errors import AforoError

_WIDE = 160
"""Columns where nobody looks at a terminal: tables in pipes and files are not cut to a screen."""

out = Console(width=None if sys.stdout.isatty() else _WIDE)
err = Console(stderr=True)


class Exit(IntEnum):
    """Exit codes that scripts can rely on."""

    OK = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3


def emit(value: Any) -> None:
    """Print a value as JSON on standard output; anything JSON does not know (decimals, times) as text."""
    sys.stdout.write(json.dumps(value, indent=2, default=str, ensure_ascii=False) + "\n")


class Commands(TyperGroup):
    """A command group in which a named failure becomes a message and an exit code instead of a traceback.

    The code is the error's `exit_code` if it has one, otherwise 1. With `--json` the error is JSON too.
    """

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except AforoError as error:
            _report(error)
            ctx.exit(int(getattr(error, "exit_code", Exit.FAILED)))


def _report(error: AforoError) -> None:
    if "--json" in sys.argv:
        emit({"error": {"code": error.code, "message": str(error)}})
        return
    err.print(f"[bold red]{error.code}[/] ", end="")
    err.print(str(error), markup=False)
