"""`aforo audit verify`: prove that nobody changed the audit log. Keep out: the chain itself (storage)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from stack.console import Exit, emit, err, out


def register(app: typer.Typer) -> None:
    """Add the commands."""
    audit = typer.Typer(name="audit", help="The audit log.", no_args_is_help=True)
    audit.callback()(_group)
    audit.command("verify")(verify)
    app.add_typer(audit)


def _group() -> None:
    """The audit log: who did what, when, and how it looked before and after."""


def verify(
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's log.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Compute the hash chain of the audit log again; exit code 3 names the first entry that does not fit.

    Example: aforo audit verify --tenant acme
    """
    from sqlalchemy import select

    from stack.settings import connected
    from storage.database import session_scope
    from storage.repositories import audit_trail
    from storage.tables.tenants import TenantRow

    with session_scope(connected().database_url) as session:
        tenants = [tenant] if tenant else list(session.scalars(select(TenantRow.id).order_by(TenantRow.id)))
        verdicts = [audit_trail.verify(session, each) for each in tenants]
    if as_json:
        emit([asdict(verdict) | {"holds": verdict.holds} for verdict in verdicts])
    for verdict in () if as_json else verdicts:
        if verdict.holds:
            newest = f", newest hash {verdict.newest}" if verdict.newest else ""
            out.print(
                f"{verdict.tenant_id}: {verdict.entries:,} entries, the chain holds{newest}", soft_wrap=True
            )
        else:
            where = f"entry {verdict.broken}: " if verdict.broken else ""
            err.print(
                f"[red]{verdict.tenant_id}: {where}{verdict.what}[/red] ({verdict.entries:,} entries before hold)"
            )
    if not all(verdict.holds for verdict in verdicts):
        raise typer.Exit(Exit.REFUSED)
