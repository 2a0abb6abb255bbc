"""`aforo evidence`: an invoice with everything that proves it, as one signed archive; and the keys its events are signed with. Keep out: what is in it (storage/evidence.py)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stack.console import emit, out

if TYPE_CHECKING:
    from storage.evidence import Found
    from storage.lake import Lake

_TAKEN_UP_SECONDS = 10
GATES = ("billing_terms", "metered_events", "rated_lines", "routed_lines", "invoices", "invoice_lines")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("evidence")(evidence)
    app.command("rotate-event-key")(rotate)


def evidence(
    invoice: Annotated[str, typer.Argument(help="The invoice's number or id.")],
    tenant: Annotated[str | None, typer.Option(help="Only this tenant.")] = None,
    to: Annotated[
        Path | None, typer.Option("--out", help="Where to write it; default: NUMBER-evidence.zip here.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print where it is as JSON.")] = False,
) -> None:
    """Write an archive that proves an invoice: its content, terms, events with hashes, gate results, signed. `python verify.py`
    inside it checks all of that offline.

    Example: aforo evidence INV-2026-0001 --tenant acme
    """
    from stack.settings import connected
    from storage.database import session_scope
    from storage.event_macs import event_keys
    from storage.evidence import archive, find
    from storage.lake import Lake

    addresses = connected()
    lake = Lake(addresses.lake_url)
    with session_scope(addresses.database_url) as session:
        found = find(session, lake, invoice, tenant, event_keys(Path(addresses.home)))
        packed = archive(found, gates_of(lake, found), Path(addresses.home))
    target = to or Path(f"{found.invoice.number.replace('/', '-')}-evidence.zip")
    target.write_bytes(packed)
    if as_json:
        emit(
            {
                "invoice": found.invoice.number,
                "file": str(target),
                "bytes": len(packed),
                "events": found.events.height,
            }
        )
        return
    out.print(
        f"{target}: {found.events.height:,} events behind {len(found.lines)} lines; check it with `python verify.py {target}`"
    )


def gates_of(lake: Lake, found: Found) -> dict[str, Any]:
    """What the gates say of the tables as far as they concern the invoice's customer and month."""
    from expectations.catalogue import suite_of
    from expectations.suite import find_facts

    told = {}
    for name in GATES:
        suite = suite_of(name)
        related = {other: lake.scan(other, found.scope) for other in suite.related}
        facts = find_facts(suite, lake.scan(name, found.scope), related)
        broken = [fact.name for fact in facts.facts if fact.violations]
        told[name] = {
            "passed": not broken,
            "rows": facts.rows,
            "expectations": len(facts.facts),
            "broken": broken,
        }
    return told


def rotate() -> None:
    """Sign events with a new key from now on. Those signed before stay provable: old keys are kept for checking.

    Example: aforo rotate-event-key
    """
    from stack.settings import Settings
    from storage.event_macs import rotate_event_key

    key_id = rotate_event_key(Settings().folder)
    out.print(f"Events are signed with key {key_id} within {_TAKEN_UP_SECONDS} seconds.")
