"""`aforo replay`: work a month out again from raw events and compare it with what was billed. Keep out: how (storage/replay.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from stack.console import Exit, emit, out

if TYPE_CHECKING:
    from storage.replay import Replay


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("replay")(replay)


def replay(
    period: Annotated[str, typer.Argument(help="The month, YYYY-MM.")],
    tenant: Annotated[list[str] | None, typer.Option(help="Only this tenant; may be repeated.")] = None,
    customer: Annotated[list[str] | None, typer.Option(help="Only this customer; may be repeated.")] = None,
    as_of: Annotated[
        str | None,
        typer.Option("--as-of", metavar="DAY", help="Only events received until the end of this day (UTC)."),
    ] = None,
    diff: Annotated[bool, typer.Option("--diff", help="Show each line that differs, and by what.")] = False,
    approve: Annotated[
        str | None,
        typer.Option(
            metavar="REASON", help="Correct issued invoices: the next bill carries the differences."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Work a billed month out again from the raw events, in a scratch area, and compare line by line; exit code 3: not equal.

    Nothing is posted unless --approve says so.

    Example: aforo replay 2026-03 --tenant acme --diff
    """
    from stack.settings import connected
    from storage.database import session_scope
    from storage.lake import Lake
    from storage.replay import Known
    from storage.replay import replay as again
    from storage.replay_report import report
    from storage.scope import Scope
    from storage.services.corrections import approve_replay
    from storage.services.proposals import propose

    if approve is not None and as_of is not None:
        raise typer.BadParameter(
            "a replay of what was known on some day corrects nothing", param_hint="--approve"
        )
    known = Known(before=_end_of(as_of) if as_of else None)
    addresses = connected()
    scope = Scope(period, tuple(tenant or ()), tuple(customer or ()))
    with session_scope(addresses.database_url) as session:
        found = again(session, Lake(addresses.lake_url), scope, known)
        told = report(found, as_of=as_of)
        if as_of is None:
            told["proposals"] = propose(session, found, source="REPLAY")
        if approve is not None:
            told["adjustments"] = approve_replay(session, told["proposals"], approve)
    if as_json:
        emit(told)
    else:
        _print(found, told, diff)
    if not found.is_equal:
        raise typer.Exit(Exit.REFUSED)


def _end_of(day: str) -> Any:
    from datetime import UTC, date, datetime, time, timedelta

    try:
        parsed = date.fromisoformat(day)
    except ValueError:
        raise typer.BadParameter(
            f"{day!r} is not a day; write it as YYYY-MM-DD", param_hint="--as-of"
        ) from None
    return datetime.combine(parsed + timedelta(days=1), time(), UTC)


def _print(found: Replay, told: dict[str, Any], diff: bool) -> None:
    from rich.table import Table

    totals = Table(title=f"Replay of {found.month}", title_justify="left")
    for name in ("tenant", "currency", "lines", "equal", "changed", "missing", "extra", "held"):
        totals.add_column(name)
    for name in ("billed", "adjusted since", "replayed", "difference"):
        totals.add_column(name, justify="right")
    for row in told["totals"]:
        totals.add_row(*(str(value) for value in row.values()))
    out.print(totals)
    if diff:
        lines = Table("invoice", "customer", "line", "verdict", "what changed")
        lines.add_column("difference", justify="right")
        for row in told["differences"]:
            what = ", ".join(
                f"{each['field']} {each['billed']} → {each['replayed']}" for each in row["changes"]
            )
            number, why = row["number"] or "", row["holdReason"] or what
            lines.add_row(
                number,
                row["customerId"],
                row["description"],
                row["verdict"],
                why,
                str(row["difference"] or ""),
            )
        out.print(lines)
    for proposal in told.get("proposals", []):
        out.print(f"replay {proposal['id']} of {proposal['tenantId']}: {proposal['status']}")
    for adjustment in told.get("adjustments", []):
        out.print(
            f"adjustment {adjustment['id']}: {adjustment['amount']} {adjustment['currency']}, {adjustment['description']}"
        )
    same = sum(1 for row in told["invoices"] if row["sameInputs"])
    out.print(
        f"{same} of {len(told['invoices'])} invoices made from the very same inputs; code {found.code}",
        style="dim",
    )
