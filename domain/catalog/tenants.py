"""Tenants as made over HTTP. Put here: reading a request for one. Keep out: tenants as a catalog states them (customers.py)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from domain.catalog.details import currency, metadata, time_zone
from domain.catalog.fields import Fields


@dataclass(frozen=True, slots=True)
class NewTenant:
    """A vendor to be. external_id: what the system that asks calls it; asked for again, it is the same tenant."""

    id: str
    name: str
    external_id: str | None
    tier: str
    description: str | None
    currency: str
    time_zone: str
    metadata: Mapping[str, Any]


def read_new_tenant(fields: Fields) -> NewTenant:
    """Raises FieldProblem."""
    tenant = NewTenant(
        id=fields.key("id"),
        name=fields.text("name"),
        external_id=fields.maybe_text("externalId"),
        tier=fields.maybe_text("tier") or "starter",
        description=fields.maybe_text("description"),
        currency=currency(fields, "currency", "USD", "defaultCurrency"),
        time_zone=time_zone(fields, "UTC"),
        metadata=metadata(fields),
    )
    fields.done()
    return tenant
