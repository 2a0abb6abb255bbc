"""Who bills which month. Put here: taking a month for a run, and asking whether somebody has it. Keep out: requests to bill
(repositories/bill_requests.py), billing.

A claim is a set of advisory locks on a connection of its own: it ends with the run, however the run ends, so that nobody has to
clean up after one that was killed. A run of all tenants takes the whole month, a run of some takes their part of it.
"""

from __future__ import annotations

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from domain.errors import Conflict
from storage.database import lock_id
from storage.scope import Scope

_ALL = "*"
_HELD = text(
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND (((classid::bigint << 32) | objid::bigint) = :own"
    " OR (((classid::bigint << 32) | objid::bigint) = :whole AND mode = ANY(:modes)))"
)


class MonthBeingBilled(Conflict):
    """Another run, wherever it was started, has the month."""

    code = "BILL_RUN_IN_PROGRESS"
    exit_code = 3

    def __init__(self, month: str, tenant_id: str | None = None) -> None:
        whose = f" of tenant {tenant_id!r}" if tenant_id else ""
        super().__init__(
            f"month {month}{whose} is being billed by another run; wait until it has finished, then run this one again"
        )


class BillClaim:
    """What one run has taken. Not for several threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None
        self._held: set[tuple[str, tuple[str, ...]]] = set()
        self._refused: MonthBeingBilled | None = None

    def hold(self, scope: Scope) -> None:
        """Take the scope's month for its tenants until `release`; what is held already stays so. Raises MonthBeingBilled, from then
        on always: a run that was refused once does not slip in later with a part of its tables."""
        assert scope.month is not None
        if self._refused is not None:
            raise self._refused
        wanted = (scope.month, tuple(sorted(scope.tenants)))
        if wanted in self._held:
            assert self._connection is not None
            # Were the connection lost, the locks would be too: better to stop than to bill on without them.
            self._connection.execute(text("SELECT 1"))
            return
        if not scope.tenants:
            self._take(_month(scope.month, _ALL), scope.month)
            self._share(_tenant(_ALL))
        else:
            self._share(_month(scope.month, _ALL), scope.month)
            for tenant_id in wanted[1]:
                self._take(_month(scope.month, tenant_id), scope.month, tenant_id)
                self._share(_tenant(tenant_id))
        self._held.add(wanted)

    def release(self) -> None:
        """Let everything go."""
        connection, self._connection = self._connection, None
        self._held.clear()
        self._refused = None
        if connection is None:
            return
        try:
            connection.execute(text("SELECT pg_advisory_unlock_all()"))
        except DBAPIError:
            connection.invalidate()  # the server is gone, and what it held for us with it
        connection.close()

    def _take(self, name: str, month: str, tenant_id: str | None = None) -> None:
        self._lock("pg_try_advisory_lock", name, month, tenant_id)

    def _share(self, name: str, month: str = "") -> None:
        self._lock("pg_try_advisory_lock_shared", name, month)

    def _lock(self, function: str, name: str, month: str, tenant_id: str | None = None) -> None:
        if self._connection is None:
            self._connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        if not self._connection.execute(text(f"SELECT {function}(:id)"), {"id": lock_id(name)}).scalar():
            self.release()
            self._refused = MonthBeingBilled(month, tenant_id)
            raise self._refused


def is_billed_now(session: Session, tenant_id: str, month: str | None = None) -> bool:
    """Whether a run holds the tenant's month (None: any month) at this moment, wherever it was started."""
    if month is None:
        asked = {"own": _tenant(tenant_id), "whole": _tenant(_ALL)}
        modes = ["ShareLock", "ExclusiveLock"]
    else:
        asked = {"own": _month(month, tenant_id), "whole": _month(month, _ALL)}
        # Runs of other tenants share the whole month.
        modes = ["ExclusiveLock"]
    ids = {name: lock_id(lock) for name, lock in asked.items()}
    return bool(session.execute(_HELD, {**ids, "modes": modes}).scalar())


def _month(month: str, tenant_id: str) -> str:
    return f"aforo:bill:{month}:{tenant_id}"


def _tenant(tenant_id: str) -> str:
    return f"aforo:billing:{tenant_id}"
