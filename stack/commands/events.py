"""`aforo events`: where an event is and why, voiding it, amending it. Keep out: what that means (storage, transforms.in_force)."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stack.console import emit, out

if TYPE_CHECKING:
    from storage.services.event_corrections import EventCorrections
    from storage.tables.corrections import EventActRow

Key = Annotated[str, typer.Argument(help="The event's idempotency key.")]
Tenant = Annotated[str, typer.Option(help="Whose.")]
Reason = Annotated[str, typer.Option(help="Why; it is kept with the act and in the audit log.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Single events: show, void, amend.", no_args_is_help=True)
    group.command("show", epilog="Example: aforo events show evt_4711 --tenant acme")(show)
    group.command("void", epilog="Example: aforo events void evt_4711 --tenant acme --reason 'test traffic'")(
        void
    )
    group.command(
        "amend",
        epilog="Example: aforo events amend evt_4711 --tenant acme --quantity 12.5 --reason 'counted retries'",
    )(amend)
    app.add_typer(group, name="events")


def show(key: Key, tenant: Tenant, as_json: Json = False) -> None:
    """Show where an event is and why: all that arrived under its key with both payloads of a conflict, acts upon it, its invoice lines."""
    from stack.settings import connected
    from storage.connections import connect
    from storage.database import session_scope
    from storage.events_found import whole_story
    from storage.lake import Lake

    addresses = connected()
    with connect(addresses.redis_url) as redis, session_scope(addresses.database_url) as session:
        told = whole_story(session, Lake(addresses.lake_url), redis, tenant, key)
    if as_json:
        emit(told)
        return
    out.print(f"event {key} of {tenant}: {told['state']}", markup=False)
    for row in told["received"]:
        _block(f"received as raw event {row['rawSeq']}: {row['outcome']}", row, ("rawSeq", "outcome"))
    for row in told["acts"]:
        _block(f"{row['kind']} by {row['createdBy']}", row, ("kind", "createdBy", "changes"))
        out.print(f"{'changes':>16}  {json.dumps(row['changes'])}", markup=False, soft_wrap=True)
    for row in told["billed"]:
        _block(f"billed with {row['month']}", row, ("month",))


def void(key: Key, tenant: Tenant, reason: Reason, as_json: Json = False) -> None:
    """Take one accepted event back: it is kept, and counts no more."""
    _act(tenant, lambda corrections: corrections.void(key, {"reason": reason}), as_json)


def amend(
    key: Key,
    tenant: Tenant,
    reason: Reason,
    quantity: Annotated[str | None, typer.Option(help="What it should have been.")] = None,
    occurred_at: Annotated[str | None, typer.Option(help="When it happened, ISO 8601.")] = None,
    properties: Annotated[str | None, typer.Option(help="In place of its `properties`, as JSON.")] = None,
    metadata: Annotated[str | None, typer.Option(help="In place of its `metadata`, as JSON.")] = None,
    as_json: Json = False,
) -> None:
    """Let one accepted event count as it should have been; customer and unit stay."""
    given = {
        "quantity": quantity,
        "occurredAt": occurred_at,
        "properties": _object("--properties", properties),
        "metadata": _object("--metadata", metadata),
    }
    sent = {"reason": reason} | {name: value for name, value in given.items() if value is not None}
    _act(tenant, lambda corrections: corrections.amend(key, sent), as_json)


def _act(tenant: str, work: Any, as_json: bool) -> None:
    from domain.event_correction import VOID
    from stack.settings import connected
    from storage.connections import connect
    from storage.events_found import shown_act
    from storage.lake import Lake
    from storage.services.event_corrections import EventCorrections, send_waiting
    from storage.tenancy import tenant_tx

    addresses = connected()
    with connect(addresses.redis_url) as redis:
        with tenant_tx(addresses.database_url, tenant) as tx:
            corrections: EventCorrections = EventCorrections(tx, Lake(addresses.lake_url), redis)
            row: EventActRow = work(corrections)
        send_waiting(addresses.database_url, redis, tenant)
    if as_json:
        emit(shown_act(row))
        return
    done = "is void" if row.kind == VOID else f"is amended; what counts now has the key {row.act_key}"
    out.print(f"event {row.event_key} {done}. Bills made from now on know it.", markup=False, soft_wrap=True)


def _object(option: str, text: str | None) -> Any:
    if text is None:
        return None
    try:
        return json.loads(text, parse_float=Decimal)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not JSON: {error}", param_hint=option) from None


def _block(title: str, row: dict[str, Any], leave_out: tuple[str, ...]) -> None:
    out.print(f"[bold]{title}[/]")
    for name, value in row.items():
        if value is not None and name not in leave_out:
            out.print(f"{name:>16}  {value}", markup=False, soft_wrap=True)
