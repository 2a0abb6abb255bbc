"""`aforo bill`: bill a month through Dagster. Keep out: how runs are executed (stack/billing.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from stack.console import emit, err, out

STEPS_OF_A_MONTH = 30


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("bill")(bill)


def bill(
    period: Annotated[str, typer.Argument(help="The month, YYYY-MM.")],
    tenant: Annotated[list[str] | None, typer.Option(help="Only this tenant; may be repeated.")] = None,
    customer: Annotated[list[str] | None, typer.Option(help="Only this customer; may be repeated.")] = None,
    unbilled: Annotated[
        bool,
        typer.Option("--unbilled", help="Only the customers with usage that their bills do not know yet."),
    ] = False,
    test: Annotated[
        bool, typer.Option("--test", help="Work everything out and post nothing: no numbers, no wallets.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Bill a month: take in what the edge accepted, meter it, run the ten stages, write the invoices.

    Billing a month again gives the same invoices with the same numbers. Invoices that were issued are never changed.

    With --unbilled exactly those are billed again whose usage came after their bills were made; few of them take a small part of the time.

    With --test it is a dry run over what lies in the lake now: also of a month that still runs.

    Example: aforo bill 2026-03 --tenant acme --customer cust_1
    """
    if unbilled and (customer or test):
        raise typer.BadParameter("--unbilled finds the customers itself; leave out --customer and --test")
    from stack import billing

    if test:
        _show_dry_run(billing.dry_run(period, tenant, customer), as_json=as_json)
        return
    with steps(STEPS_OF_A_MONTH, quiet=as_json) as progress:
        progress("loading")
        billing.ingest(progress)
        if unbilled:
            progress("looking for unbilled usage")
            tenant, customer = billing.unbilled(period, tenant)
        report = None if unbilled and not customer else billing.bill(period, tenant, customer, progress)
    if report is None:
        _nobody(period, as_json=as_json)
        return
    if as_json:
        emit(asdict(report))
        return
    out.print(invoices_table(report.invoices, f"Invoices of {period}"))
    if report.held:
        out.print(held_table(report.held))
    out.print(f"Run {report.run_id}; events metered: {report.rows.get('metered_events', 0):,}")


def _nobody(period: str, *, as_json: bool) -> None:
    if as_json:
        emit({"job": None, "run_id": None, "rows": {}, "held": [], "invoices": []})
        return
    out.print(f"No usage has come since the bills of {period} were made; nothing was done.")


def _show_dry_run(told: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        emit(told)
        return
    table = Table(title=f"Dry run of {told['month']}, nothing is posted")
    table.add_column("customer")
    for name in ("lines", "subtotal", "discount", "tax", "total", "wallet", "due"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("currency")
    for each in told["invoices"]:
        names = ("lines", "subtotal", "discount", "tax", "total", "walletAmount", "amountDue", "currency")
        table.add_row(each["customerId"], *(str(each[name]) for name in names))
    out.print(table)
    if told["held"]:
        rows = [
            {"tenant_id": each["tenantId"], "customer_id": each["customerId"], "reason": each["reason"]}
            for each in told["held"]
        ]
        out.print(held_table(rows))
    for gate in told["gates"]:
        if not gate["passed"]:
            out.print(f"The gate of {gate['table']} would stop the run: {gate['says']}", style="bold red")


@contextmanager
def steps(total: int, *, quiet: bool) -> Iterator[Callable[[str], None]]:
    """A progress bar over the steps of a run; yields what to call after each step."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err, disable=quiet, transient=True) as bar:
        task = bar.add_task("starting", total=total)
        yield lambda step: bar.update(task, advance=1, description=step)


def invoices_table(invoices: list[dict[str, object]], title: str) -> Table:
    """Invoices as people read them; an empty list says so."""
    table = Table(title=title, caption=None if invoices else "No invoices.")
    for name in ("number", "customer", "status"):
        table.add_column(name, no_wrap=name == "number")
    for name in ("lines", "total", "due"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("currency")
    for each in invoices:
        money = (money_text(each[name], str(each["currency"])) for name in ("total", "amount_due"))
        table.add_row(
            str(each["number"]),
            str(each["customer_id"]),
            str(each["status"]),
            str(each["lines"]),
            *money,
            str(each["currency"]),
        )
    return table


def money_text(amount: object, currency: str) -> str:
    """An amount with the decimal places its currency has."""
    from domain.money import currency_exponent

    return f"{amount:,.{currency_exponent(currency)}f}"


def held_table(held: list[dict[str, str]]) -> Table:
    """Customers that were not billed, and why."""
    table = Table(title="Not billed", title_style="bold red")
    for name in ("tenant", "customer", "reason"):
        table.add_column(name)
    for each in held:
        table.add_row(each["tenant_id"], each["customer_id"], each["reason"])
    return table
