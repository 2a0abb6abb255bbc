"""Pages of a list, by number and by cursor, against PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event, insert, select
from sqlalchemy.orm import Session

from storage.database import session_scope
from storage.repositories.paging import PageQuery, keyset
from storage.tables.customers import CustomerRow
from storage.tables.tenants import TenantRow

COLUMNS = {"name": CustomerRow.name, "id": CustomerRow.id}
NAMES = ("Ada", "Bo", "Bo", "Cy", "Di", "Di", "Di")
ORDERS = ("name", "name,desc", "id", "id,desc")


@pytest.fixture
def session(database_url: str) -> Iterator[Session]:
    with session_scope(database_url) as session:
        about = {"id": "acme", "name": "Acme", "currency": "USD", "time_zone": "UTC"}
        session.execute(insert(TenantRow), about)
        rows: list[dict[str, Any]] = [
            {"tenant_id": "acme", "id": f"c{place}", "name": name, "plan": "STANDARD"}
            for place, name in enumerate(NAMES)
        ]
        session.execute(insert(CustomerRow), [{**row, "currency": "USD", "time_zone": "UTC"} for row in rows])
        yield session


def page(session: Session, **asked: Any) -> tuple[list[str], int, str | None]:
    query = select(CustomerRow).where(CustomerRow.tenant_id == "acme")
    rows, total, cursor = keyset(session, query, COLUMNS, PageQuery(size=3, **asked))
    return [row.id for row in rows], total, cursor


@pytest.mark.parametrize("order", ORDERS)
def test_pages_by_number_are_the_pages_by_cursor(session: Session, order: str) -> None:
    seen, cursor = [], None
    for number in range(3):
        ids, total, following = page(session, sort=order, cursor=cursor)
        assert (ids, total) == page(session, sort=order, page=number)[:2]
        seen, cursor = [*seen, *ids], following
    assert sorted(seen) == [f"c{place}" for place in range(7)]
    assert cursor is None


def test_a_page_past_the_end_is_empty_and_still_knows_the_total(session: Session) -> None:
    assert page(session, page=3) == ([], 7, None)


def test_a_last_page_counts_nothing(session: Session) -> None:
    statements: list[str] = []
    engine = session.get_bind()
    event.listen(engine, "before_cursor_execute", lambda *about: statements.append(about[2]))
    assert page(session, page=2) == (["c6"], 7, None)
    assert len(statements) == 1
