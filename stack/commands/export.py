"""`aforo export`: a tenant's catalog as a file. Put here: the command. Keep out: what belongs in the file (storage)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stack.console import emit, err

_ALSO_CALLED = {
    "plans": "ratePlans",
    "entities": "billingEntities",
    "metrics": "units",
    "sources": "webhookSources",
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: aforo export acme.yaml --tenant acme --only plans,offerings")(export)


def export(
    file: Annotated[Path | None, typer.Argument(dir_okay=False, help="Where to; default: print it.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Whose; needed where there are several.")] = None,
    only: Annotated[str | None, typer.Option(help="Only these sections, such as plans,offerings.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of YAML.")] = False,
) -> None:
    """Write a catalog as the file `aforo apply` reads: applied again, it changes nothing.

    Of each rate plan the latest version. Not in it: drafts, what was archived or has ended, balances, secrets.
    """
    from stack.settings import connected
    from storage.catalog_export import export_catalog
    from storage.catalog_file import dump_document
    from storage.database import session_scope

    sections = _sections(only)
    with session_scope(connected().database_url) as session:
        found = export_catalog(session, tenant, sections)
    if as_json and file is None:
        emit(found.document)
        return
    versions = {key: f"version {number}" for key, number in found.versions.items()}
    text = _json(found.document) if as_json else dump_document(found.document, {"ratePlans": versions})
    if file is None:
        typer.echo(text, nl=False)
        return
    file.write_text(text, encoding="utf-8")
    counts = ", ".join(
        f"{len(part)} {name}" for name, part in found.document.items() if isinstance(part, list)
    )
    err.print(f"{file}: {counts or 'the tenant alone'}", highlight=False, soft_wrap=True)


def _json(document: object) -> str:
    import json

    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _sections(only: str | None) -> set[str] | None:
    from storage.catalog_export import SECTION_NAMES

    if only is None:
        return None
    spelled = {name.lower(): name for name in SECTION_NAMES} | _ALSO_CALLED
    asked = [name.strip() for name in only.split(",") if name.strip()]
    unknown = [name for name in asked if name.lower() not in spelled]
    if unknown or not asked:
        what = ", ".join(map(repr, unknown)) or "nothing"
        raise typer.BadParameter(f"{what} is no section; use {', '.join(SECTION_NAMES)}", param_hint="--only")
    return {spelled[name.lower()] for name in asked}
