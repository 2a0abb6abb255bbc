"""`aforo schema`: what a catalog file may say, for editors. Keep out: the schema itself (domain.catalog.schema)."""

from __future__ import annotations

import typer

from stack.console import emit


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: aforo schema > catalog.schema.json")(schema)


def schema() -> None:
    """Print the JSON Schema of catalog files.

    An editor that knows YAML checks and completes a file whose first line is
    `# yaml-language-server: $schema=catalog.schema.json`.
    """
    from domain.catalog.schema import catalog_schema

    emit(catalog_schema())
