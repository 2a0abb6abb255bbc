"""An outcome for people. Put here: tables of what happened. Keep out: what happened (outcome.py)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from domain.money import currency_exponent, unpadded
from sandbox.outcome import Outcome

_STATUS = {"DRAFT": "yellow", "OPEN": "cyan", "PAID": "green", "OVERDUE": "red", "VOID": "dim"}


def show(outcome: Outcome, console: Console) -> None:
    """The story, the events' accounting, invoices with their lines, wallets, and whether all was as expected."""
    told = outcome.data
    console.print(f"[bold]{escape(told['scenario'])}[/]  [dim]{escape(told['file'])}[/]", highlight=False)
    console.print(_story(told["story"]))
    console.print(_accounting(told))
    for invoice in told["invoices"]:
        console.print(_invoice(invoice))
    for table in (_held(told["held"]), _wallets(told["wallets"]), _adjustments(told["adjustments"])):
        if table.row_count:
            console.print(table)
    for alert in told["alerts"]:
        console.print(f"[yellow]{alert['kind']}[/] {escape(alert['message'])}", highlight=False)
    if outcome.met:
        console.print("[green]✓[/] as expected")
    for each in outcome.unmet:
        console.print(f"[red]✗[/] {escape(str(each))}", highlight=False, soft_wrap=True)


def _story(story: list[dict[str, Any]]) -> Table:
    table = Table("when", "step", "what happened", title="Story", title_justify="left")
    for step in story:
        did = f"[yellow]{step['error']}[/] " if step["error"] else ""
        note = f"\n[dim]{escape(step['note'])}[/]" if step["note"] else ""
        table.add_row(step["at"], step["step"], did + escape(step["did"]) + note)
    return table


def _accounting(told: Mapping[str, Any]) -> Table:
    columns = ("received", "validated", "late", "deduplicated", "conflicts", "rejected")
    whose = {name: tenant["events"] for name, tenant in told.get("tenants", {}).items()}
    table = Table(*(["tenant"] if whose else []), *columns, "why", title="Events", title_justify="left")
    for tenant, events in (whose or {"": told["events"]}).items():
        why = ", ".join(f"{code} {number:,}" for code, number in events["refused"].items())
        table.add_row(*([tenant] if whose else []), *(f"{events[name]:,}" for name in columns), why)
    return table


def _invoice(invoice: Mapping[str, Any]) -> Table:
    places = currency_exponent(invoice["currency"])
    colour = _STATUS.get(invoice["status"], "")
    status = f"[{colour}]{invoice['status']}[/]" if colour else invoice["status"]
    title = f"{invoice['number']}  {invoice['tenant']}/{invoice['customer']}  {invoice['month']}  {status}"
    table = Table("line", "from", "to", title=title, title_justify="left")
    sums = {
        name: _money(invoice[name], places)
        for name in ("subtotal", "discount", "tax", "total", "wallet", "due")
    }
    for name in ("usage", "free", "to pay", "amount", "± commitment", "discount", "tax"):
        table.add_column(name, justify="right")
    for line in invoice["lines"]:
        usage = (_number(line[name]) for name in ("quantity", "included", "billable"))
        money = [_money(line[name], places) for name in ("amount", "commitAdjustment", "discount", "tax")]
        days = (str(line[name] or "")[:16].replace("T", " ") for name in ("periodStart", "periodEnd"))
        table.add_row(escape(line["description"]), *days, *usage, *money)
        for tier in line["tiers"] or ():
            band = f"  … {tier['quantity']} × {tier['unit_price']}"
            table.add_row(
                f"[dim]{band}[/]", "", "", "", "", "", f"[dim]{_short(tier['amount'])}[/]", "", "", ""
            )
    table.caption = f"{invoice['currency']}  " + "  ".join(f"{name} {value}" for name, value in sums.items())
    table.caption_justify = "left"
    return table


def _held(held: list[dict[str, Any]]) -> Table:
    table = Table("held", "month", "why", title="Not billed", title_justify="left")
    for row in held:
        table.add_row(f"{row['tenant']}/{row['customer']}", row["month"], escape(str(row["reason"])))
    return table


def _wallets(wallets: list[dict[str, Any]]) -> Table:
    table = Table("wallet", "when", "movement", "amount", "balance", title="Wallets", title_justify="left")
    for wallet in wallets:
        name = f"{wallet['tenant']}/{wallet['customer']} {wallet['currency']}"
        for move in wallet["movements"]:
            table.add_row(name, move["at"], move["kind"], move["amount"], move["balanceAfter"])
    return table


def _adjustments(adjustments: list[dict[str, Any]]) -> Table:
    table = Table("customer", "month", "what", "amount", title="Adjustments", title_justify="left")
    for row in adjustments:
        whose = f"{row['tenant']}/{row['customer']}"
        table.add_row(whose, row["month"], escape(row["description"]), row["amount"])
    return table


def _money(amount: str, places: int) -> str:
    return str(unpadded(Decimal(amount), places))


def _number(value: object) -> str:
    return "" if value in (None, "0") else str(value)


def _short(amount: object) -> str:
    text = str(amount)
    return text.rstrip("0").rstrip(".") if "." in text else text
