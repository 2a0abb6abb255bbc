"""Identifiers and names in an applied catalog that are somebody else's. Put here: what only the database knows of them. Keep out:
clashes within a catalog (domain.catalog)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from domain.catalog.catalog import Catalog
from domain.catalog.fields import CatalogRefused, Contradiction, FieldProblem
from storage.repositories.among import among
from storage.services.sent import violated
from storage.tables.customers import AccessorRow, TeamRow
from storage.tables.money import WebhookSourceRow
from storage.tables.tenants import BillingEntityRow

_GONE_FOR_GOOD: dict[str, tuple[str, str, Any]] = {
    "billingEntities": ("entities", "code", BillingEntityRow),
    "teams": ("teams", "id", TeamRow),
    "apps": ("apps", "id", AccessorRow),
    "agents": ("agents", "id", AccessorRow),
    "webhookSources": ("sources", "id", WebhookSourceRow),
}
_UNIQUE = {
    "uq_customers_external_id_in_use": (
        "customers.externalId",
        "two customers have the same; it names one of them",
    ),
    "uq_products_name": ("products.name", "two products have the same; choose another"),
    "uq_teams_name_in_use": ("teams.name", "two teams of a customer have the same; choose another"),
    "uq_accessors_name_in_use": (
        "apps.name",
        "two apps or agents of a customer have the same; choose another",
    ),
    "uq_billing_entities_tenant_id_invoice_prefix": (
        "billingEntities.invoicePrefix",
        "two issuers have the same; choose another",
    ),
}


def archived_identifiers(session: Session, asked: Catalog, stored: Catalog) -> Iterator[Contradiction]:
    """New nouns with the identifier of one that was archived: it stands in history, and means that one."""
    for section, (part, field, table) in _GONE_FOR_GOOD.items():
        nouns = getattr(asked, part)
        new = [key for key in nouns if key not in getattr(stored, part)]
        query = select(table.id).where(
            table.tenant_id == asked.tenant.id, among(table.id, new), table.archived_at.is_not(None)
        )
        archived = set(session.scalars(query)) if new else set()
        for index, key in enumerate(nouns):
            if key in archived:
                yield Contradiction(f"{section}[{index}].{field}", f"{key!r} was archived; choose another")


def not_unique(error: IntegrityError) -> CatalogRefused:
    """What the database refused, as a problem of the file."""
    constraint = violated(error)
    path, what = _UNIQUE.get(constraint, ("", f"the database refused it ({constraint}): {error.orig}"))
    return CatalogRefused([FieldProblem(path, what)])
