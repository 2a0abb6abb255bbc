"""`aforo sql`: query the asset tables. Keep out: writing (there is no way to)."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.table import Table

from domain.errors import PermanentFailure
from stack.console import Exit, emit, out


class BadQuery(PermanentFailure):
    """The query cannot be answered."""

    code = "BAD_QUERY"
    exit_code = Exit.USAGE


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("sql")(sql)


def sql(
    query: Annotated[
        str | None, typer.Argument(help="A SELECT over asset tables; `-` reads it from standard input.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Show at most so many rows.")] = 100,
    tables: Annotated[
        bool, typer.Option("--tables", help="List the tables and their columns instead.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print rows as JSON.")] = False,
) -> None:
    """Query any asset table, read-only, in this process: only the columns and files the query needs are read.

    Example: aforo sql "SELECT unit, SUM(value) AS used FROM usage_aggregates WHERE month = '2026-03' GROUP BY unit"
    """
    if tables or query is None:
        _list_tables(as_json)
        return
    rows, more = answer(sys.stdin.read() if query == "-" else query, limit)
    if as_json:
        emit(rows)
        return
    table = Table(caption=f"first {limit} rows; more with --limit" if more else None)
    for name in rows[0] if rows else ["no rows"]:
        table.add_column(name)
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    out.print(table)


def answer(query: str, limit: int) -> tuple[list[dict[str, object]], bool]:
    """The first `limit` rows and whether there are more. Raises BadQuery."""
    import polars as pl

    from stack.settings import connected
    from storage.lake import Lake
    from transforms.frames import LAKE_TABLES as TABLES

    if not query.lstrip(" (\n\t").upper().startswith(("SELECT", "WITH", "EXPLAIN")):
        raise BadQuery(
            "query: only SELECT (or WITH … SELECT) is answered; the lake is written by its assets alone"
        )
    lake = Lake(connected().lake_url)
    try:
        context = pl.SQLContext({name: lake.scan(name) for name in TABLES})
        found = context.execute(query, eager=False).head(limit + 1).collect()
    except pl.exceptions.PolarsError as error:
        raise BadQuery(f"query: {error}") from error
    return found.head(limit).to_dicts(), found.height > limit


def _list_tables(as_json: bool) -> None:
    from transforms.frames import LAKE_TABLES as TABLES

    if as_json:
        emit(
            {
                name: {column.name: str(column.dtype) for column in table.columns}
                for name, table in TABLES.items()
            }
        )
        return
    listing = Table()
    for name in ("table", "one row is", "columns"):
        listing.add_column(name)
    for name, described in TABLES.items():
        listing.add_row(name, described.doc, ", ".join(described.schema))
    out.print(listing)
