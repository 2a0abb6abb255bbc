"""Requests to bill: one at a time per tenant, followed to their end."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from domain.period import NotAMonth
from storage.database import session_scope
from storage.repositories.bill_requests import (
    BillRequestNotFound,
    BillRequests,
    BillRunInProgress,
    BillRunNotStartable,
    Target,
    finished,
    queued,
    started,
)
from tests.storage.worlds import ACME, applied


@pytest.fixture(autouse=True)
def _tenants(engine: Engine) -> None:
    with session_scope(engine) as session:
        applied(session, ACME)
        applied(session, {"tenant": {"id": "globex"}})


def test_a_request_goes_its_way(session: Session) -> None:
    requests = BillRequests(session, "acme")
    run = requests.create("2023-11", target=Target("CUSTOMER", ["ann"], ["ann"])).id
    assert queued(session) == []
    requests.execute(run)
    assert [(row.tenant_id, row.month, row.customers) for row in queued(session)] == [
        ("acme", "2023-11", ["ann"])
    ]
    assert started(session, "acme", run, "dagster-1")
    assert not started(session, "acme", run, "dagster-2")
    assert finished(session, "acme", run, "COMPLETED", invoices_generated=1)
    row = requests.get(run)
    assert (row.status, row.run_id, row.invoices_generated) == ("COMPLETED", "dagster-1", 1)
    with pytest.raises(BillRunNotStartable):
        requests.execute(run)


def test_of_two_runs_at_once_exactly_one_wins(engine: Engine) -> None:
    with session_scope(engine) as session:
        runs = [BillRequests(session, "acme").create("2023-11").id for _ in range(8)]

    def execute(run: str) -> bool:
        try:
            with session_scope(engine) as session:
                BillRequests(session, "acme").execute(run)
        except BillRunInProgress:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(execute, runs)) == 1


def test_another_tenants_run_does_not_stand_in_the_way(session: Session) -> None:
    for tenant in ("acme", "globex"):
        requests = BillRequests(session, tenant)
        requests.execute(requests.create("2023-11").id)
    assert [row.tenant_id for row in queued(session)] == ["acme", "globex"]


def test_the_same_idempotency_key_gives_the_same_run(session: Session) -> None:
    requests = BillRequests(session, "acme")
    assert (
        requests.create("2023-11", idempotency_key="k").id
        == requests.create("2023-11", idempotency_key="k").id
    )


def test_another_tenants_request_does_not_exist(session: Session) -> None:
    run = BillRequests(session, "acme").create("2023-11").id
    with pytest.raises(BillRequestNotFound):
        BillRequests(session, "globex").get(run)


def test_a_month_that_is_none_is_refused(session: Session) -> None:
    with pytest.raises(NotAMonth):
        BillRequests(session, "acme").create("November")
