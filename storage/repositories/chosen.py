"""Which tenants a run is about. Put here: that list. Keep out: anything of a tenant's own, which is asked for with its id."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage.tables.tenants import TenantRow


def chosen_tenants(session: Session, tenants: Collection[str] | None) -> list[str]:
    """The known ones of these, in order; None or empty: all."""
    known = session.scalars(select(TenantRow.id).order_by(TenantRow.id))
    return [tenant_id for tenant_id in known if not tenants or tenant_id in tenants]
