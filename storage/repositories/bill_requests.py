"""Requests to bill a month. Put here: making them, handing them to the sensor, recording how they went. Keep out: billing."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from domain.actor import Actor
from domain.errors import Conflict, NotFound
from domain.period import parse_month
from storage.bill_claims import is_billed_now
from storage.repositories.audit import Audit
from storage.tables.operations import BillRequestRow

LIVE, TEST = "LIVE", "TEST"
STALE_AFTER = timedelta(minutes=2)
"""A run this old that holds no claim on its month has died without saying so."""
DONE = ("COMPLETED", "PARTIALLY_FAILED", "FAILED")


class BillRequestNotFound(NotFound):
    """No such request in this tenant; another tenant's looks the same."""

    code = "BILL_RUN_NOT_FOUND"

    def __init__(self, request_id: str) -> None:
        super().__init__(f"bill run {request_id!r} does not exist")


class BillRunInProgress(Conflict):
    """Another run of the tenant has not finished."""

    code = "BILL_RUN_IN_PROGRESS"

    def __init__(self, tenant_id: str) -> None:
        super().__init__(f"tenant {tenant_id!r} has a bill run under way; wait until it has finished")


class BillRunNotStartable(Conflict):
    """It was started before."""

    code = "BILL_RUN_NOT_STARTABLE"

    def __init__(self, request_id: str, status: str) -> None:
        super().__init__(
            f"bill run {request_id!r} is {status}; only CREATED runs can be started, make a new one"
        )


class NoResult(NotFound):
    """Only a TEST run that has ended has a result."""

    code = "BILL_RUN_HAS_NO_RESULT"

    def __init__(self, request_id: str, environment: str, status: str) -> None:
        why = "look at its invoices" if environment == LIVE else f"it is {status}"
        super().__init__(f"bill run {request_id!r} is {environment} and has no result to show: {why}")


@dataclass(frozen=True, slots=True)
class Target:
    """Whom a run is for: `scope` ALL, CUSTOMER, SUBSCRIPTION or OFFERING, the ids asked for, and the customers these come to."""

    scope: str = "ALL"
    ids: Sequence[str] = ()
    customers: Sequence[str] = ()


EVERYBODY = Target()


class BillRequests:
    """One tenant's requests: CREATED, then QUEUED for the sensor, RUNNING, and one of DONE."""

    def __init__(self, session: Session, tenant_id: str, actor: str | Actor = "operator") -> None:
        self._session = session
        self._tenant_id = tenant_id
        self._actor = actor if isinstance(actor, Actor) else Actor(actor)

    def create(
        self,
        month: str,
        *,
        target: Target = EVERYBODY,
        environment: str = LIVE,
        auto_finalize: bool = False,
        notes: str | None = None,
        idempotency_key: str | None = None,
    ) -> BillRequestRow:
        """A request to bill the month; the same idempotency key gives the same request. Raises NotAMonth."""
        parse_month(month)
        if idempotency_key is not None:
            same = (
                BillRequestRow.tenant_id == self._tenant_id,
                BillRequestRow.idempotency_key == idempotency_key,
            )
            before = self._session.scalars(select(BillRequestRow).where(*same)).one_or_none()
            if before is not None:
                return before
        row = BillRequestRow(
            tenant_id=self._tenant_id,
            id="br_" + secrets.token_hex(10),
            month=month,
            customers=list(target.customers),
            scope=target.scope,
            targets=list(target.ids),
            environment=environment,
            auto_finalize=auto_finalize,
            notes=notes,
            idempotency_key=idempotency_key,
            requested_by=self._actor.id,
            status="CREATED",
            invoices_generated=0,
            customers_processed=0,
        )
        self._session.add(row)
        about = {
            "month": {"before": None, "after": month},
            "customers": {"before": None, "after": list(target.customers)},
            "environment": {"before": None, "after": environment},
        }
        Audit(self._session, self._tenant_id, self._actor).record(
            "BILL_RUN_CREATED", "billRun", row.id, about
        )
        self._session.flush()
        return row

    def get(self, request_id: str) -> BillRequestRow:
        """Raises BillRequestNotFound."""
        row = self._session.get(BillRequestRow, (self._tenant_id, request_id), populate_existing=True)
        if row is None:
            raise BillRequestNotFound(request_id)
        return row

    def execute(self, request_id: str) -> BillRequestRow:
        """Queue it. Of two at once exactly one is let through; runs started in the UI or on the command line count too.

        Raises BillRunInProgress, BillRunNotStartable.
        """
        row = self.get(request_id)
        if row.status in ("QUEUED", "RUNNING"):
            return row
        if row.status != "CREATED":
            raise BillRunNotStartable(request_id, row.status)
        if row.environment == LIVE and is_billed_now(self._session, self._tenant_id, row.month):
            raise BillRunInProgress(self._tenant_id)
        try:
            with self._session.begin_nested():
                row.status = "QUEUED"
                row.queued_at = func.now()
                self._session.flush()
        except IntegrityError:
            raise BillRunInProgress(self._tenant_id) from None
        self._session.refresh(row)
        return row


def queued(session: Session) -> list[BillRequestRow]:
    """Requests waiting to be run, of all tenants, oldest first: for the sensor."""
    query = select(BillRequestRow).where(BillRequestRow.status == "QUEUED").order_by(BillRequestRow.queued_at)
    return list(session.scalars(query))


def unfinished(session: Session) -> list[BillRequestRow]:
    """Requests under way, so that the sensor can ask how their runs went."""
    return list(session.scalars(select(BillRequestRow).where(BillRequestRow.status == "RUNNING")))


def started(session: Session, tenant_id: str, request_id: str, run_id: str) -> bool:
    """Mark a queued request as running under a run id; False: somebody else took it."""
    return _update(
        session, tenant_id, request_id, ("QUEUED",), status="RUNNING", run_id=run_id, started_at=func.now()
    )


def finished(
    session: Session,
    tenant_id: str,
    request_id: str,
    status: str,
    *,
    invoices_generated: int = 0,
    customers_processed: int = 0,
    failures: Sequence[Mapping[str, Any]] = (),
    error: str | None = None,
) -> bool:
    """Record how a run went (one of DONE); failures: the customers it could not bill, and why. False: it was not under way."""
    assert status in DONE, f"{status} is not a final status"
    return _update(
        session,
        tenant_id,
        request_id,
        ("QUEUED", "RUNNING"),
        status=status,
        invoices_generated=invoices_generated,
        customers_processed=customers_processed,
        failures=[dict(each) for each in failures],
        error=error,
        completed_at=func.now(),
    )


def progressed(session: Session, row: BillRequestRow, percent: int) -> None:
    """Note how far a run is; 100 is kept for the end."""
    _update(session, row.tenant_id, row.id, ("RUNNING",), progress=max(row.progress, min(percent, 99)))


def keep_result(session: Session, tenant_id: str, request_id: str, result: Mapping[str, Any]) -> bool:
    """Keep what a TEST run came to, as JSON; False: it is not under way."""
    return _update(session, tenant_id, request_id, ("QUEUED", "RUNNING"), result=dict(result))


def is_stale(session: Session, row: BillRequestRow) -> bool:
    """Whether a LIVE run under way has let go of its month without ending: its process was killed, say."""
    started = row.started_at
    now = session.scalar(select(func.now()))
    if row.environment != LIVE or started is None or now is None or now - started < STALE_AFTER:
        return False
    return not is_billed_now(session, row.tenant_id, row.month)


def _update(session: Session, tenant_id: str, request_id: str, before: Sequence[str], **values: Any) -> bool:
    here = (
        BillRequestRow.tenant_id == tenant_id,
        BillRequestRow.id == request_id,
        BillRequestRow.status.in_(before),
    )
    done = session.execute(update(BillRequestRow).where(*here).values(**values).returning(BillRequestRow.id))
    return done.first() is not None
