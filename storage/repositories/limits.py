"""What holds customers and keys back besides their contracts. Put here: reading it as the edge wants it. Keep out: changing it
(services), Redis."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from domain.access import MarginLevel
from domain.limits import Limit, read_limit
from domain.request_limits import EACH_KEY, TENANT
from storage.repositories.among import among
from storage.tables.keys import ApiKeyRow
from storage.tables.limits import KilledSessionRow, MarginLevelRow, RequestLimitRow


def tenant_limits(session: Session, tenant_id: str) -> dict[str, Limit | None]:
    """`<door>` for each key, `tenant/<door>`, `plan/<plan>/<door>`, `key/<key>/<door>` of keys that are not revoked; None: no limit."""
    row, key = RequestLimitRow, ApiKeyRow
    same = (key.tenant_id == row.tenant_id) & (key.id == row.key_id)
    query = select(row).outerjoin(key, same).where(row.tenant_id == tenant_id)
    in_use = or_(row.key_id.is_(None), key.status != "REVOKED")
    return {
        _begins(each) + door: read_limit(text)
        for each in session.scalars(query.where(in_use).order_by(row.id))
        for door, text in sorted(each.limits.items())
    }


def _begins(row: RequestLimitRow) -> str:
    if row.scope == TENANT:
        return "tenant/"
    return "" if row.scope == EACH_KEY else f"{row.scope.lower()}/{row.plan_id or row.key_id}/"


def margin_levels(
    session: Session, tenant_id: str, customers: Collection[str] | None = None
) -> dict[str, MarginLevel]:
    """The levels of these customers (None: of all) that restrict anything."""
    row = MarginLevelRow
    query = select(row).where(row.tenant_id == tenant_id, row.level != "NONE")
    if customers is not None:
        query = query.where(among(row.customer_id, customers))
    return {each.customer_id: margin_level_of(each) for each in session.scalars(query)}


def margin_level_of(row: MarginLevelRow) -> MarginLevel:
    """The row as the domain knows it."""
    return MarginLevel(row.level, row.throttle_rate, row.retry_after, row.message)


def killed_sessions(session: Session, tenant_id: str, as_of: datetime) -> dict[str, datetime]:
    """Sessions that are to be stopped at the instant, and until when."""
    row = KilledSessionRow
    query = select(row.session_id, row.until).where(row.tenant_id == tenant_id, row.until > as_of)
    return dict(session.execute(query).tuples().all())
