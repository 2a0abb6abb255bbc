"""`aforo demo`: the whole way from event to invoice, before your eyes. Keep out: the usage, sending and counting (stack/demo)."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stack.console import emit, err, out

if TYPE_CHECKING:
    from stack.billing import Report
    from stack.demo.accounting import Holdings
    from stack.demo.sending import Tally
    from stack.settings import Addresses

CATALOG = Path(__file__).parents[2] / "examples" / "demo.yaml"
SHOWN_CUSTOMER = "harbor"
"""Whose invoice is printed in full."""
_STEPS_OF_INGEST = 5


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: aforo demo")(demo)


def demo(
    month: Annotated[
        str | None, typer.Option(help="The month to make up, YYYY-MM; by default the last one that is over.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the accounting and invoices as JSON.")
    ] = False,
) -> None:
    """Start the stack, load a catalog, send a month of usage through the edge, bill it, show the invoices.

    Run it as often as you like: the same events are duplicates the second time, and the invoices stay the same.
    """
    from domain.period import parse_month

    started = time.monotonic()
    month = month or last_month_over(datetime.now(UTC))
    parse_month(month)
    addresses = _start(as_json)
    tally, since = _send(addresses, month, as_json)
    report, held = _bill(addresses, month, since, as_json)
    if as_json:
        emit(_as_data(month, tally, held, report))
        return
    _show(addresses, month, tally, held, report)
    out.print(
        f"\nDone in {time.monotonic() - started:.0f} s. The stack stays up; `{_command()} down` stops it."
    )


def last_month_over(now: datetime) -> str:
    """The last calendar month that has ended in every time zone; its first day is less than 90 days ago."""
    this_month = (now - timedelta(days=1)).replace(day=1)
    return (this_month - timedelta(days=1)).strftime("%Y-%m")


def _start(quiet: bool) -> Addresses:
    from stack.commands.lifecycle import start
    from stack.settings import Settings, use_running_stack

    with _part(1, "Start PostgreSQL, Valkey, edge, control API and Dagster", quiet):
        start(Settings().folder, quiet=quiet)
    return use_running_stack()


def _send(addresses: Addresses, month: str, quiet: bool) -> tuple[Tally, datetime]:
    from stack.commands.apply import apply_file
    from stack.demo.sending import send
    from stack.demo.usage import TENANT, month_of_usage
    from storage.secret_files import key_secrets

    home = Path(addresses.home)
    with _part(2, f"Load {CATALOG.parent.name}/{CATALOG.name}", quiet):
        done = apply_file(
            CATALOG, database_url=addresses.database_url, redis_url=addresses.redis_url, home=home
        )
        _say(", ".join(f"{number} {action}" for action, number in done.counts.items()), quiet)
    with _part(3, f"Send a month of usage ({month}) to {addresses.edge_url}/v1/ingest/batch", quiet):
        stream, since = month_of_usage(month), datetime.now(UTC)
        with _bar(len(stream), quiet) as progress:
            assert addresses.edge_url is not None
            tally = send(
                stream,
                edge_url=addresses.edge_url,
                secrets=key_secrets(home, TENANT),
                progress=progress.advance,
            )
        _say(
            f"{tally.received:,} events in {tally.seconds:.1f} s, each on disk before it was answered", quiet
        )
    return tally, since


def _bill(addresses: Addresses, month: str, since: datetime, quiet: bool) -> tuple[Report, Holdings]:
    from stack.demo.usage import TENANT

    with (
        _part(4, "Take the events in and bill the month, through Dagster", quiet),
        _bar(None, quiet) as progress,
    ):
        progress.describe("loading Dagster")
        from stack import billing
        from stack.commands.bill import STEPS_OF_A_MONTH
        from stack.demo.accounting import holdings
        from storage.lake import Lake

        progress.total(_STEPS_OF_INGEST + STEPS_OF_A_MONTH)
        billing.ingest(progress.step)
        report = billing.bill(month, [TENANT], progress=progress.step)
        return report, holdings(Lake(addresses.lake_url), TENANT, since)


def _show(addresses: Addresses, month: str, tally: Tally, held: Holdings, report: Report) -> None:
    from stack.commands import bill
    from stack.commands.invoices import show
    from stack.demo.accounting import check
    from stack.demo.usage import TENANT

    out.rule("[bold]Every event accounted for")
    out.print(_accounting(tally, held))
    check(tally, held)
    out.rule("[bold]Invoices")
    out.print(bill.invoices_table(report.invoices, f"Invoices of {month}"))
    if report.held:
        out.print(bill.held_table(report.held))
    shown = next((each for each in report.invoices if each["customer_id"] == SHOWN_CUSTOMER), None)
    if shown is not None:
        out.rule(f"[bold]One invoice: aforo show {shown['number']}")
        show(str(shown["number"]), TENANT)
    out.rule("[bold]Look around")
    _places(addresses, report, shown)


def _accounting(tally: Tally, held: Holdings) -> Any:
    from rich.table import Table

    from stack.demo.accounting import rows

    table = Table("events", caption="received = accepted + duplicate + refused, on both sides")
    table.add_column("answered by the edge", justify="right")
    table.add_column("held by the lake", justify="right")
    for what, answered, in_lake in rows(tally, held):
        table.add_row(what, f"{answered:,}", f"{in_lake:,}", style="bold" if what == "received" else None)
    return table


def _places(addresses: Addresses, report: Report, shown: dict[str, Any] | None) -> None:
    dagster, control = addresses.dagster_url, addresses.control_url
    places = {
        "lineage": f"{dagster}/assets/invoice_lines?view=lineage&lineageScope=upstream&lineageDepth=20",
        "the run": f"{dagster}/runs/{report.run_id}",
        "gate results": f"{control}/data-docs/invoices/{report.run_id}.html",
    }
    for what, url in places.items():
        out.print(f"  {what:<13} [link]{url}[/link]", soft_wrap=True)
    out.print("\n  Try next:")
    number = shown["number"] if shown else "NUMBER"
    hints = (
        f"show {number} --events input_tokens",
        'sql "SELECT code, detail FROM quarantined_events"',
        "--help",
    )
    for hint in hints:
        out.print(f"    {_command()} {hint}", markup=False, highlight=False)


def _command() -> str:
    """What the person would type: the demo may have been started through make."""
    return "aforo" if shutil.which("aforo") else ".venv/bin/aforo"


def _as_data(month: str, tally: Tally, held: Holdings, report: Report) -> dict[str, Any]:
    from stack.demo.accounting import check, rows

    check(tally, held)
    accounting = {what: {"edge": answered, "lake": in_lake} for what, answered, in_lake in rows(tally, held)}
    return {
        "month": month,
        "accounting": accounting,
        "invoices": report.invoices,
        "held": report.held,
        "run_id": report.run_id,
    }


@contextmanager
def _part(number: int, what: str, quiet: bool) -> Iterator[None]:
    if not quiet:
        out.print(f"\n[bold cyan]{number}/4[/] [bold]{what}[/]", soft_wrap=True)
    started = time.monotonic()
    yield
    _say(f"{time.monotonic() - started:.1f} s", quiet)


def _say(text: str, quiet: bool) -> None:
    if not quiet:
        out.print(f"    {text}", style="dim", highlight=False)


class _Progress:
    """A bar, told of advances or of steps by name."""

    def __init__(self, bar: Any, task: Any) -> None:
        self._bar, self._task = bar, task

    def advance(self, by: int) -> None:
        self._bar.update(self._task, advance=by)

    def step(self, name: str) -> None:
        self._bar.update(self._task, advance=1, description=name)

    def describe(self, what: str) -> None:
        self._bar.update(self._task, description=what)

    def total(self, total: int) -> None:
        self._bar.update(self._task, total=total)


@contextmanager
def _bar(total: int | None, quiet: bool) -> Iterator[_Progress]:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err, disable=quiet, transient=True) as bar:
        yield _Progress(bar, bar.add_task("sending", total=total))
