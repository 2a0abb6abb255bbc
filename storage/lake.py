"""The lake: one Delta table per asset. Put here: reading, appending once, replacing a scope. Keep out: rules, Dagster."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, TableNotFoundError

from domain.errors import PermanentFailure, TransientFailure
from transforms.frames import TABLES, Table


class UnknownTable(PermanentFailure):
    """A table nobody described."""

    code = "UNKNOWN_TABLE"

    def __init__(self, name: str) -> None:
        super().__init__(f"table: {name!r} is not in the lake; it has {', '.join(sorted(TABLES))}")


@dataclass(frozen=True)
class Scope:
    """Which rows a run reads and replaces: a month, and optionally only some tenants and customers of it."""

    month: str | None = None
    tenants: tuple[str, ...] = ()
    customers: tuple[str, ...] = ()

    def of(self, month: str) -> Scope:
        """The same tenants and customers, in this month."""
        return replace(self, month=month)

    @property
    def tenant_list(self) -> list[str] | None:
        """The tenants; None: all."""
        return list(self.tenants) or None

    @property
    def customer_list(self) -> list[str] | None:
        """The customers; None: all."""
        return list(self.customers) or None

    def filters(self, columns: Iterable[str]) -> list[pl.Expr]:
        """The scope as conditions, for the columns a table has."""
        known = set(columns)
        found: list[pl.Expr] = []
        if self.month and "month" in known:
            found.append(pl.col("month") == self.month)
        if self.tenants and "tenant_id" in known:
            found.append(pl.col("tenant_id").is_in(list(self.tenants)))
        if self.customers and "customer_id" in known:
            found.append(pl.col("customer_id").is_in(list(self.customers)))
        return found

    def predicate(self) -> str:
        """The scope as Delta's replace predicate; a month is required, so that nothing is replaced by accident."""
        if not self.month:
            raise ValueError("scope: a month is needed to replace rows")
        parts = [f"month = {_quoted(self.month)}"]
        if self.tenants:
            parts.append(f"tenant_id IN ({', '.join(map(_quoted, self.tenants))})")
        if self.customers:
            parts.append(f"customer_id IN ({', '.join(map(_quoted, self.customers))})")
        return " AND ".join(parts)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@dataclass(frozen=True)
class Lake:
    """The tables under one folder or bucket URL."""

    url: str
    storage_options: dict[str, str] = field(default_factory=dict)

    def path(self, name: str) -> str:
        """Where a table lives; an unknown name is an error."""
        if name not in TABLES:
            raise UnknownTable(name)
        return f"{self.url.rstrip('/')}/{name}"

    def open(self, name: str) -> DeltaTable | None:
        """The Delta table, or None while nothing was ever written."""
        try:
            return DeltaTable(self.path(name), storage_options=self.storage_options or None)
        except TableNotFoundError:
            return None

    def scan(self, name: str, scope: Scope | None = None) -> pl.LazyFrame:
        """The table's rows in the scope, lazily; no rows while it does not exist."""
        table = self.open(name)
        frame = TABLES[name].empty().lazy() if table is None else pl.scan_delta(table)
        wanted = (scope or Scope()).filters(TABLES[name].schema)
        return frame.filter(*wanted) if wanted else frame

    def version(self, name: str) -> int:
        """The table's Delta version; -1 while it does not exist."""
        table = self.open(name)
        return -1 if table is None else table.version()

    def cursor(self, name: str) -> Cursor:
        """A place to append from; see `Cursor`."""
        if self.open(name) is None:
            self._write(name, TABLES[name].empty(), mode="ignore")
        return Cursor(name, DeltaTable(self.path(name), storage_options=self.storage_options or None))

    def replace(self, name: str, frame: pl.DataFrame, scope: Scope) -> None:
        """Put these rows in place of all rows of the scope, in one commit."""
        exists = self.open(name) is not None
        self._write(name, frame, mode="overwrite", predicate=scope.predicate() if exists else None)

    def compact(self, name: str) -> None:
        """Merge the many small files that minute-by-minute appends leave behind; rows stay the same."""
        table = self.open(name)
        if table is not None:
            table.optimize.compact()

    def _write(self, name: str, frame: pl.DataFrame, *, mode: str, predicate: str | None = None) -> None:
        described: Table = TABLES[name]
        if "://" not in self.url:
            Path(self.url).mkdir(parents=True, exist_ok=True)
        write_deltalake(
            self.path(name),
            described.conform(frame),
            mode=mode,  # type: ignore[arg-type]
            predicate=predicate,
            partition_by=list(described.partition_by) or None,
            storage_options=self.storage_options or None,
        )


@dataclass
class Cursor:
    """Appending exactly once. Markers are read and rows are committed against one snapshot of the table.

    Rows and markers land in one Delta commit. If another writer moved a marker since the snapshot was taken, the commit
    fails (`LostRace`) and nothing is written: the winner has done the work.
    """

    name: str
    table: DeltaTable

    def marker(self, app: str) -> int | None:
        """How far `app` has come in writing this table, as recorded with its last commit."""
        return self.table.transaction_version(app)

    def append(self, frame: pl.DataFrame, *, markers: Mapping[str, int]) -> None:
        """Add rows and record how far each app has come: both happen or neither does."""
        described = TABLES[self.name]
        transactions = [Transaction(app, position) for app, position in markers.items()]
        try:
            write_deltalake(
                self.table,
                described.conform(frame),
                mode="append",
                partition_by=list(described.partition_by) or None,
                commit_properties=CommitProperties(app_transactions=transactions),
            )
        except CommitFailedError as error:
            raise LostRace(self.name) from error


class LostRace(TransientFailure):
    """Another run appended first."""

    code = "LOST_RACE"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"table {name}: another run appended at the same time and won; nothing was written, run again"
        )
