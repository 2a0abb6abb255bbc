"""`aforo apply`: a catalog file into the database and to the edge. Put here: the command, its tables. Keep out: the rules."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from domain.errors import TransientFailure
from stack.console import Exit, emit, err, out

if TYPE_CHECKING:
    from rich.table import Table

    from domain.catalog.catalog import Catalog
    from domain.catalog.fields import CatalogRefused
    from domain.catalog.pricing_warnings import Warning
    from storage.catalog_service import Change
    from storage.repositories.keys import IssuedKey

SIGNS = {"create": "[green]+ create[/]", "change": "[yellow]~ change[/]", "unchanged": "[dim]= unchanged[/]"}
_LONGEST_LIST = 40
_BAD_INPUT = ("INVALID_FIELD", "DUPLICATE_METRIC")


class RightsNotPublished(TransientFailure):
    """The catalog is stored, but the edge could not be told."""

    code = "RIGHTS_NOT_PUBLISHED"


@dataclass(frozen=True, slots=True)
class Applied:
    """What applying a file did, or (dry run) would do. rights_version: of the tenant's hot state; None: not published.
    warnings: prices that are legal but odd, by path."""

    tenant_id: str
    changes: tuple[Change, ...]
    keys: tuple[IssuedKey, ...] = ()
    rights_version: int | None = None
    warnings: tuple[tuple[str, Warning], ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        return {action: sum(change.action == action for change in self.changes) for action in SIGNS}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: aforo apply examples/llm-inference.yaml --dry-run")(apply)


def apply(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The catalog as YAML.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Load a catalog file: what is sold, at which prices, to whom. Same file, no change.

    What the file does not mention stays. A contradiction is refused as a whole, naming the field (exit code 3). `aforo export`
    writes such a file, `aforo schema` says what one may hold.
    """
    from domain.catalog.fields import CatalogRefused
    from stack.settings import connected

    addresses = connected()
    try:
        done = apply_file(
            file,
            database_url=addresses.database_url,
            redis_url=addresses.redis_url,
            home=Path(addresses.home),
            dry_run=dry_run,
        )
    except CatalogRefused as refused:
        _report(refused, as_json)
        bad_input = all(problem.code in _BAD_INPUT for problem in refused.problems)
        raise typer.Exit(Exit.USAGE if bad_input else Exit.REFUSED) from None
    if as_json:
        emit(_as_data(done, dry_run))
    else:
        _show(done, dry_run)


def apply_file(
    file: Path, *, database_url: str, redis_url: str, home: Path, dry_run: bool = False
) -> Applied:
    """Apply a catalog file in one transaction, keep new secrets in `home`, and publish the tenant's rights.

    Raises UnreadableCatalog, CatalogRefused (nothing was changed) and RightsNotPublished (everything is stored).
    """
    from domain.catalog.catalog import read_catalog
    from storage.catalog_file import load_document
    from storage.catalog_service import apply_catalog, plan_changes
    from storage.database import session_scope
    from storage.sealed import Seal
    from storage.secret_files import remember_key_secrets

    asked = read_catalog(load_document(file))
    tenant_id = asked.tenant.id
    with session_scope(database_url) as session:
        if dry_run:
            return Applied(tenant_id, plan_changes(session, asked).changes, warnings=odd_prices(asked))
        plan, issued = apply_catalog(session, asked, seal=Seal.of(home) if asked.sources else None)
        named = {key.name: key.secret for key in issued if key.id not in asked.sources}
        if named:
            # Before the commit: a secret without a key is harmless, a key without its secret is lost.
            remember_key_secrets(home, tenant_id, named)
    version = publish_rights(database_url, redis_url, tenant_id)
    return Applied(tenant_id, plan.changes, tuple(issued), version, odd_prices(asked))


def odd_prices(asked: Catalog) -> tuple[tuple[str, Warning], ...]:
    """(key of the plan, warning) for every price of the file that is legal but odd."""
    from domain.catalog.pricing_warnings import warnings_of

    return tuple((key, warning) for key, plan in asked.plans.items() for warning in warnings_of(plan))


def publish_rights(database_url: str, redis_url: str, tenant_id: str) -> int:
    """Tell the edge what the tenant's customers may do as of now; the version published. Raises RightsNotPublished."""
    from redis.exceptions import RedisError

    from storage.connections import connect
    from storage.database import engine_of
    from storage.rights_publishing import publish_tenant

    try:
        with connect(redis_url) as redis:
            return publish_tenant(engine_of(database_url), redis, tenant_id, as_of=datetime.now(UTC))
    except RedisError as error:
        raise RightsNotPublished(
            f"The catalog of {tenant_id} is stored, but the edge could not be told ({error}); run the command again."
        ) from error


def _report(refused: CatalogRefused, as_json: bool) -> None:
    if as_json:
        problems = [
            {"field": each.path, "code": each.code, "message": each.what} for each in refused.problems
        ]
        emit({"error": {"code": refused.code, "message": str(refused), "problems": problems}})
        return
    err.print("[bold red]Refused; nothing was changed.[/]")
    for problem in refused.problems:
        err.print(f"  {problem}", markup=False, highlight=False, soft_wrap=True)


def _as_data(done: Applied, dry_run: bool) -> dict[str, Any]:
    return {
        "tenant": done.tenant_id,
        "dry_run": dry_run,
        "counts": done.counts,
        "changes": [
            {
                "noun": each.noun,
                "id": each.id,
                "action": each.action,
                "fields": each.fields,
                "note": each.note,
            }
            for each in done.changes
        ],
        "keys": [{"id": key.id, "name": key.name, "secret": key.secret} for key in done.keys],
        "rights_version": done.rights_version,
        "warnings": [
            {"plan": plan, "code": each.code, "field": each.field, "message": each.message}
            for plan, each in done.warnings
        ],
    }


def _show(done: Applied, dry_run: bool) -> None:
    from rich.markup import escape

    out.print(_table(done))
    for plan, warning in done.warnings:
        out.print(f"[yellow]![/] {plan} {escape(warning.field)}: {escape(warning.message)}", highlight=False)
    counts = ", ".join(f"{number} {action}" for action, number in done.counts.items())
    out.print(f"{counts}." + (" Dry run: nothing was changed." if dry_run else ""))
    if done.keys:
        out.print(
            "New keys; their secrets are shown this once, those of API keys kept in secrets/keys.json of the data folder:"
        )
        for key in done.keys:
            out.print(f"  {key.name}: {key.secret}", markup=False, highlight=False, soft_wrap=True)


def _table(done: Applied) -> Table:
    from rich.table import Table

    table = Table("", "noun", "id", "what", title=f"Catalog of {done.tenant_id}", title_justify="left")
    shown = [change for change in done.changes if change.action != "unchanged"] or list(done.changes)
    for change in shown[:_LONGEST_LIST]:
        table.add_row(SIGNS[change.action], change.noun, change.id, _what(change))
    if len(shown) > _LONGEST_LIST:
        table.add_row("", "…", "", f"and {len(shown) - _LONGEST_LIST} more; --json lists them all")
    return table


def _what(change: Change) -> str:
    from rich.markup import escape

    lines = [change.note] if change.note else []
    if change.action == "change":
        lines += [f"{path}: {each['before']} → {each['after']}" for path, each in change.fields.items()]
    return escape("\n".join(lines))
