"""`aforo dlq`: events that did not pass. Keep out: what they are and how they are sent again (storage/dead_letters.py)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from stack.console import emit, out

Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Codes = Annotated[
    list[str] | None, typer.Option("--code", help="Only this code, such as UNKNOWN_METRIC; may be repeated.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        help="Events that did not pass: list, show, send again after a fix.", no_args_is_help=True
    )
    group.command("ls", epilog="Example: aforo dlq ls --tenant acme --code UNKNOWN_METRIC")(ls)
    group.command("show", epilog="Example: aforo dlq show 1234")(show)
    group.command("replay", epilog="Example: aforo dlq replay --tenant acme --code UNKNOWN_METRIC")(replay)
    app.add_typer(group, name="dlq")


def ls(
    tenant: Annotated[str | None, typer.Option(help="Only this tenant.")] = None,
    code: Codes = None,
    limit: Annotated[int, typer.Option(min=1, help="How many to list.")] = 50,
    as_json: Json = False,
) -> None:
    """List dead letters, the newest first; duplicates only if asked for by --code DUPLICATE."""
    from rich.table import Table

    from stack.settings import connected
    from storage.dead_letters import dead_letters
    from storage.lake import Lake

    found = dead_letters(Lake(connected().lake_url), tenant, code or (), limit)
    if as_json:
        emit(found)
        return
    names = ("raw_seq", "tenant_id", "code", "customer_id", "unit", "received_at", "detail")
    table = Table(*names, caption=None if found else "No dead letters.")
    for row in found:
        table.add_row(*("" if row[name] is None else str(row[name]) for name in names))
    out.print(table)


def show(event: Annotated[int, typer.Argument(help="Its raw_seq.")], as_json: Json = False) -> None:
    """Show one as it was sent; of a conflict over a key, both payloads."""
    from stack.settings import connected
    from storage.dead_letters import dead_letter
    from storage.lake import Lake

    found = dead_letter(Lake(connected().lake_url), event)
    if as_json:
        emit(found)
        return
    for name, value in found.items():
        if value is not None and name != "standing":
            out.print(f"{name:>16}  {value}", markup=False, soft_wrap=True)
    if "standing" in found:
        out.print("[bold]the event that stands[/]")
        for name, value in found["standing"].items():
            out.print(f"{name:>16}  {value}", markup=False, soft_wrap=True)


def replay(
    tenant: Annotated[str, typer.Option(help="Whose.")],
    code: Annotated[
        list[str] | None,
        typer.Option("--code", help="Those with this code; may be repeated. Unless said: UNKNOWN_METRIC."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Send dead letters through the door again after a fix. Repeating it counts nothing twice."""
    from stack.settings import connected
    from storage.connections import connect
    from storage.dead_letters import send_again
    from storage.lake import Lake

    addresses = connected()
    with connect(addresses.redis_url) as redis:
        done = send_again(redis, Lake(addresses.lake_url), tenant, code or ("UNKNOWN_METRIC",))
    if as_json:
        emit(asdict(done))
        return
    refused = ", ".join(f"{count:,} {name}" for name, count in done.refused.most_common()) or "none"
    out.print(f"accepted {done.accepted:,}, there already {done.duplicates:,}, refused again: {refused}")
