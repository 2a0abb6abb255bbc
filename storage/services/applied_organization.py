"""Issuers, organization settings and webhook sources of an applied catalog. Put here: finding and saving them together. Keep out:
changing one by one (billing_entities.py, organization.py, webhook_sources.py)."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from domain.catalog.catalog import Catalog
from domain.catalog.fields import CatalogRefused, Contradiction, FieldProblem, Fields
from domain.catalog.issuers import BillingEntity
from domain.organization import Defaults, OrganizationSettings, read_settings, written_settings
from domain.webhook_source import ListedSource, WebhookSource
from storage.repositories.billing_entities import BillingEntities, entity_values
from storage.repositories.catalog import save_rows
from storage.repositories.keys import IssuedKey
from storage.sealed import Seal
from storage.services.webhook_sources import SECRET_COLUMN, assert_paths
from storage.tables.money import WebhookSourceRow
from storage.tables.tenants import BillingEntityRow, OrganizationSettingsRow

_OF_TENANT = ("defaultCurrency", "timeZone")


def with_organization(session: Session, catalog: Catalog) -> Catalog:
    """The stored catalog with its issuers besides the default one, settings (None: never set) and webhook sources."""
    tenant = catalog.tenant
    entities = BillingEntities(session, tenant.id).all()
    entities.pop(tenant.entity.code, None)
    row = session.get(OrganizationSettingsRow, tenant.id)
    usual = Defaults(tenant.currency, tenant.time_zone)
    settings = read_settings(Fields(row.settings, ""), usual) if row is not None else None
    return replace(catalog, entities=entities, organization=settings, sources=_sources(session, tenant.id))


def renumbered(session: Session, asked: Catalog, stored: Catalog) -> Iterator[Contradiction]:
    """Issuers whose invoices are numbered with a prefix that would change."""
    repository = BillingEntities(session, asked.tenant.id)
    for index, (code, entity) in enumerate(asked.entities.items()):
        old = stored.entities.get(code)
        changed = old is not None and old.invoice_prefix != entity.invoice_prefix
        if old is not None and changed and repository.has_numbered(code):
            what = f"cannot change from {old.invoice_prefix} to {entity.invoice_prefix}: its invoices are numbered with it"
            yield Contradiction(f"billingEntities[{index}].invoicePrefix", what)


def save_entities(session: Session, tenant_id: str, entities: Iterable[BillingEntity]) -> None:
    """Insert issuers that are not the default one, or update those whose code is there already."""
    rows = [{"id": each.code, "is_default": False, **entity_values(each)} for each in entities]
    save_rows(session, tenant_id, BillingEntityRow, rows)


def save_organization(session: Session, tenant_id: str, settings: OrganizationSettings) -> None:
    """The settings as they now are; their currency and time zone are the tenant's own."""
    stored = {name: value for name, value in written_settings(settings).items() if name not in _OF_TENANT}
    statement = upsert(OrganizationSettingsRow).values(tenant_id=tenant_id, settings=stored)
    changed = {
        "settings": stored,
        "revision": OrganizationSettingsRow.revision + 1,
        "updated_at": func.now(),
    }
    session.execute(statement.on_conflict_do_update(index_elements=["tenant_id"], set_=changed))


def add_sources(
    session: Session, tenant_id: str, sources: Mapping[str, ListedSource], seal: Seal | None
) -> list[IssuedKey]:
    """New sources, by their place in the file, with their secrets, which are shown now and never again. seal None: raises
    CatalogRefused, as does what is no JSONPath."""
    issued, rows = [], []
    for place, listed in sources.items():
        if seal is None:
            raise CatalogRefused(
                [FieldProblem(place, "needs a secret, which cannot be kept here; apply it elsewhere")]
            )
        _assert_paths(listed, place)
        secret = f"whsec_{secrets.token_hex(32)}"
        sealed = seal.seal(secret, tenant_id=tenant_id, column=SECRET_COLUMN)
        rows.append({"id": listed.id, "secret_sealed": sealed, **asdict(listed.source)})
        issued.append(IssuedKey(listed.id, listed.source.name, secret))
    save_rows(session, tenant_id, WebhookSourceRow, rows)
    return issued


def change_sources(session: Session, tenant_id: str, sources: Mapping[str, ListedSource]) -> None:
    """Sources that are there already look for usage where these, by their place in the file, say; they keep their secrets. Raises
    CatalogRefused for what is no JSONPath."""
    for place, listed in sources.items():
        _assert_paths(listed, place)
        row = session.get_one(WebhookSourceRow, (tenant_id, listed.id))
        for name, value in asdict(listed.source).items():
            setattr(row, name, value)
    session.flush()


def _assert_paths(listed: ListedSource, place: str) -> None:
    """Raises CatalogRefused for what is no JSONPath."""
    try:
        assert_paths(listed.source)
    except FieldProblem as problem:
        raise CatalogRefused([FieldProblem(f"{place}.{problem.path}", problem.what)]) from None


def _sources(session: Session, tenant_id: str) -> dict[str, ListedSource]:
    table = WebhookSourceRow
    query = select(table).where(table.tenant_id == tenant_id, table.archived_at.is_(None))
    return {
        row.id: ListedSource(row.id, WebhookSource(**{name: getattr(row, name) for name in _SOURCE_FIELDS}))
        for row in session.scalars(query.order_by(table.id))
    }


_SOURCE_FIELDS = WebhookSource.__slots__
