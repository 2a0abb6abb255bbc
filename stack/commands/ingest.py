"""`aforo ingest`: a file of usage into the event log. Put here: the options and the table. Keep out: how it is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from stack.console import Exit, emit, err, out

if TYPE_CHECKING:
    from stack.file_ingest import Accounting
    from stack.row_mapping import Columns

Audit = Callable[[str, dict[str, Any]], None]
"""Writes one audit row: the action and what is to be known about it."""

_FORMATS = {".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson", ".json": "ndjson"}
_EXAMPLE = (
    "Example: aforo ingest usage.csv --tenant acme-ai --customer code --time-column TIMESTAMP "
    "--metric tokens_in=ContextTokens --metric requests=1 --backfill 'history of 2023'"
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=_EXAMPLE)(ingest)


def ingest(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="CSV with a header, or JSON lines.")
    ],
    tenant: Annotated[
        str | None, typer.Option(help="Whose usage it is; may be left out where there is one.")
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="UNIT=COLUMN or UNIT=NUMBER: one event per row. Repeat it for several units."),
    ] = None,
    customer: Annotated[str | None, typer.Option(help="The customer of all rows.")] = None,
    customer_column: Annotated[str | None, typer.Option(help="The column that names the customer.")] = None,
    time: Annotated[
        str | None, typer.Option(help="The time of all rows (ISO 8601; without offset: UTC).")
    ] = None,
    time_column: Annotated[str | None, typer.Option(help="The column that holds the time.")] = None,
    key_column: Annotated[
        str | None, typer.Option(help="The column that identifies a row; otherwise its content does.")
    ] = None,
    backfill: Annotated[
        str | None, typer.Option(metavar="REASON", help="Let in usage older than 90 days; audited.")
    ] = None,
    format_: Annotated[
        str | None, typer.Option("--format", help="csv or ndjson; otherwise by extension.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Send the usage in FILE through the gates. Sending the same file again changes nothing.

    Rows that are events already (customerId, metricName, quantity, …) need no --metric. Exit code 3: some were refused.
    """
    from stack.row_mapping import Columns, Measure

    columns = Columns(
        tuple(Measure.parse(text) for text in metric or ()),
        customer, customer_column, time, time_column, key_column,
    )  # fmt: skip
    done, tenant_id = _run(file, tenant, columns, backfill, _form(file, format_), quiet=as_json)
    if as_json:
        emit(_as_data(file, tenant_id, done))
    else:
        _print(file, done)
    if done.refused:
        raise typer.Exit(Exit.REFUSED)


def ingest_file(
    redis_url: str,
    tenant_id: str,
    file: Path,
    columns: Columns,
    *,
    form: str = "csv",
    backfill: str | None = None,
    audit: Audit | None = None,
    progress: Callable[[BinaryIO], Callable[[], None]] = lambda stream: lambda: None,
) -> Accounting:
    """Send a file without a command line. With `backfill`, `audit` is called before the first event goes in.

    progress: given the open file, returns what to call after each chunk. Raises BadMapping, UnknownTenant,
    UnreadableFile, LogNotDurable and Redis' errors.
    """
    from stack.file_ingest import FileIngest, csv_header, read_lines
    from storage.connections import connect

    columns.check(csv_header(file) if form == "csv" else None)
    source = f"file:{file.name}"
    with connect(redis_url) as redis, file.open("rb") as stream:
        work = FileIngest(redis, tenant_id, columns, source=source, backfill=backfill)
        if backfill and audit is not None:
            audit("USAGE_BACKFILLED", {"file": file.name, "reason": backfill, "bytes": file.stat().st_size})
        return work.run(read_lines(stream, form), progress(stream))


def _run(
    file: Path, tenant: str | None, columns: Columns, backfill: str | None, form: str, *, quiet: bool
) -> tuple[Accounting, str]:
    from redis.exceptions import RedisError

    from stack.settings import connected

    addresses = connected()
    tenant_id = tenant or _only_tenant(addresses.redis_url)
    with _progress_bar(file, quiet) as progress:
        try:
            done = ingest_file(
                addresses.redis_url, tenant_id, file, columns,
                form=form, backfill=backfill, audit=_audit(addresses.database_url, tenant_id), progress=progress,
            )  # fmt: skip
        except RedisError as error:
            err.print(
                f"The event log does not answer ({error}). Run the same command again: nothing is doubled."
            )
            raise typer.Exit(Exit.FAILED) from None
    return done, tenant_id


def _form(file: Path, given: str | None) -> str:
    form = given or _FORMATS.get(file.suffix.lower())
    if form not in ("csv", "ndjson"):
        raise typer.BadParameter(
            f"{given or file.suffix!r} is no known format; use csv or ndjson", param_hint="--format"
        )
    return form


def _only_tenant(redis_url: str) -> str:
    from storage.connections import connect
    from storage.hot_state import published_tenants

    with connect(redis_url) as redis:
        known = published_tenants(redis)
    if len(known) != 1:
        names = ", ".join(known) or "none yet; load one with `aforo apply`"
        raise typer.BadParameter(f"say whose usage it is; tenants: {names}", param_hint="--tenant")
    return known[0]


def _audit(database_url: str, tenant_id: str) -> Audit:
    def record(action: str, about: dict[str, Any]) -> None:
        from storage.database import session_scope
        from storage.repositories import audit

        with session_scope(database_url) as session:
            audit.record(
                session, tenant_id, action,
                target_type="usage_file", target_id=about["file"], changes={"bytes": about["bytes"]},
                reason=about["reason"],
            )  # fmt: skip

    return record


@contextmanager
def _progress_bar(file: Path, quiet: bool) -> Iterator[Callable[[BinaryIO], Callable[[], None]]]:
    from rich.progress import Progress

    with Progress(console=err, transient=True, disable=quiet) as bar:
        task = bar.add_task(f"Reading {file.name}", total=file.stat().st_size)
        yield lambda stream: lambda: bar.update(task, completed=stream.tell())


def _as_data(file: Path, tenant_id: str, done: Accounting) -> dict[str, Any]:
    return {
        "file": file.name,
        "tenant": tenant_id,
        "rows": done.rows,
        "received": done.received,
        "accepted": done.accepted,
        "duplicates": done.duplicates,
        "refused": done.refused,
        "codes": dict(done.codes),
        "samples": done.samples,
    }


def _print(file: Path, done: Accounting) -> None:
    from rich.table import Table

    table = Table(title=f"{file.name}: {done.rows:,} rows", title_justify="left")
    table.add_column("events")
    table.add_column("number", justify="right")
    table.add_row("received", f"{done.received:,}", end_section=True)
    table.add_row("accepted", f"{done.accepted:,}")
    table.add_row("duplicates", f"{done.duplicates:,}")
    table.add_row("refused", f"{done.refused:,}")
    for code, number in sorted(done.codes.items()):
        table.add_row(f"  {code}", f"{number:,}", style="yellow")
    out.print(table)
    for sample in done.samples:
        out.print(f"row {sample['row']}: {sample['code']}: {sample['detail']}", style="dim", markup=False)
