"""The lake: one Delta table per asset. Put here: reading, appending once, replacing a scope. Keep out: rules, Dagster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake import Schema as DeltaSchema
from deltalake.exceptions import CommitFailedError, TableNotFoundError
from deltalake.transaction import AddAction

from domain.errors import PermanentFailure, TransientFailure
from storage.lake_files import COMMIT, Files
from transforms.frames import LAKE_TABLES as TABLES

_ATTEMPTS = 5
_BATCH = 2_000_000
Approve = Callable[[pl.LazyFrame], pl.LazyFrame | None]
"""Shown the rows that would be stored; the rows to store instead, or None: these."""


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
        """The table's rows in the scope, lazily; no rows while it does not exist. Columns described since it was last written
        are null."""
        table = self.open(name)
        frame = TABLES[name].empty().lazy() if table is None else _complete(pl.scan_delta(table), name)
        wanted = (scope or Scope()).filters(TABLES[name].schema)
        return frame.filter(*wanted) if wanted else frame

    def version(self, name: str) -> int:
        """The table's Delta version; -1 while it does not exist."""
        table = self.open(name)
        return -1 if table is None else table.version()

    def cursor(self, name: str) -> Cursor:
        """A place to append from; see `Cursor`."""
        return Cursor(self, name, self._made(name))

    def replace(self, name: str, frame: pl.DataFrame, scope: Scope) -> None:
        """Put these rows in place of all rows of the scope, in one commit.

        Of two replacements of one month at once, for whomever, the later one is done again on what the earlier one left.
        Raises LostRace where that does not help either.
        """
        self.replace_parts(name, [frame], scope, lambda rows: None)

    def replace_parts(self, name: str, parts: Iterable[pl.DataFrame], scope: Scope, approve: Approve) -> None:
        """`replace` with rows that come part by part and are never held at once, if the table is local and the scope is its whole
        month. approve: is shown all rows before they are committed; what it returns is kept instead, what it raises leaves the
        table as it was."""
        scope.predicate()  # refuses a scope without a month
        conformed = (TABLES[name].conform(part) for part in parts)
        files = Files(Path(self.path(name))) if self.is_local and self._is_alone(name, scope) else None
        if files is None:
            rows = pl.concat(conformed)
            instead = approve(rows.lazy())
            self._replace(name, rows if instead is None else instead.collect(), scope)
            return
        self._made(name)
        try:
            actions = [each for part in conformed for each in files.write(part, TABLES[name].partition_by)]
            instead = approve(self._as_described(name, files))
            if instead is not None:
                files, actions = self._written_anew(name, files, instead)
        except BaseException:
            files.remove()
            raise
        if not self._committed(name, files, actions, scope):
            self._replace(name, self._as_described(name, files).collect(), scope)

    def _written_anew(self, name: str, files: Files, rows: pl.LazyFrame) -> tuple[Files, list[AddAction]]:
        """Other rows in other files, in place of those written so far."""
        others = Files(files.folder)
        batches = rows.collect_batches(chunk_size=_BATCH, maintain_order=True)
        described = TABLES[name]
        try:
            actions = [
                each
                for rows_ in batches
                for each in others.write(described.conform(rows_), described.partition_by)
            ]
        except BaseException:
            others.remove()
            raise
        files.remove()
        return others, actions

    def _as_described(self, name: str, files: Files) -> pl.LazyFrame:
        rows = files.scan()
        return TABLES[name].empty().lazy() if rows is None else rows.select(list(TABLES[name].schema))

    def _committed(self, name: str, files: Files, actions: list[AddAction], scope: Scope) -> bool:
        """Whether the files now are the month; not if it has rows of others by now. Raises LostRace."""
        for _ in range(_ATTEMPTS):
            table = self._made(name)
            if not self._is_alone(name, scope):
                return False
            partition = [("month", "=", scope.month)]
            try:
                self._commit(
                    name,
                    table,
                    files,
                    actions,
                    "overwrite",
                    _replacing(scope, table),
                    partition_filters=partition,
                )
            except CommitFailedError:
                continue
            return True
        raise LostRace(name)

    def _replace(self, name: str, rows: pl.DataFrame, scope: Scope) -> None:
        """By Delta's own writer, which leaves the other rows of the month as they are. Raises LostRace."""
        for _ in range(_ATTEMPTS):
            table = self._made(name)
            try:
                self._write_deltas_way(
                    table, rows, "overwrite", _replacing(scope, table), predicate=scope.predicate()
                )
            except CommitFailedError:
                continue
            return
        raise LostRace(name)

    def _is_alone(self, name: str, scope: Scope) -> bool:
        """Whether the month's partition holds rows of the scope only, so that it can be replaced as a whole."""
        if TABLES[name].partition_by != ("month",):
            return False
        if not scope.tenants and not scope.customers:
            return True
        mine = pl.all_horizontal(scope.filters(TABLES[name].schema))
        return self.scan(name, Scope(scope.month)).filter(~mine).head(1).collect().is_empty()

    def append(self, name: str, table: DeltaTable, frame: pl.DataFrame, properties: CommitProperties) -> None:
        """Add rows against the table's state as read. Afterwards its state is that of this very commit, whatever others have
        committed since. Raises deltalake's CommitFailedError."""
        rows = TABLES[name].conform(frame)
        if self.is_local:
            files = Files(Path(self.path(name)))
            actions = files.write(rows, TABLES[name].partition_by)
            self._commit(name, table, files, actions, "append", properties)
        else:
            self._write_deltas_way(table, rows, "append", properties)

    def _commit(
        self,
        name: str,
        table: DeltaTable,
        files: Files,
        actions: list[AddAction],
        mode: str,
        properties: CommitProperties,
        partition_filters: list[tuple[str, str, Any]] | None = None,
    ) -> None:
        """Files of our own into a local table."""
        properties.custom_metadata = {COMMIT: files.id}
        table.create_write_transaction(
            actions,
            mode,
            table.schema(),
            partition_by=list(TABLES[name].partition_by),
            partition_filters=partition_filters,
            commit_properties=properties,
        )
        table.load_as_version(files.committed_after(table.version()))

    def compact(self, name: str) -> None:
        """Merge the many small files that minute-by-minute appends leave behind, and remove those that no state of the last
        seven days needs; rows stay the same."""
        table = self.open(name)
        if table is not None:
            table.optimize.compact()
            table.vacuum(dry_run=False, full=True)

    @property
    def is_local(self) -> bool:
        """Whether the tables lie in a folder of this machine."""
        return "://" not in self.url

    def _made(self, name: str) -> DeltaTable:
        """The table as it now is; made, or given columns described since, where need be."""
        table = self.open(name)
        described = TABLES[name]
        if table is None:
            if self.is_local:
                Path(self.url).mkdir(parents=True, exist_ok=True)
            write_deltalake(
                self.path(name),
                described.empty(),
                mode="ignore",
                partition_by=list(described.partition_by) or None,
                storage_options=self.storage_options or None,
            )
            table = DeltaTable(self.path(name), storage_options=self.storage_options or None)
        known = {each.name for each in table.schema().fields}
        added = [column for column in described.schema if column not in known]
        if added:
            table.alter.add_columns(
                list(DeltaSchema.from_arrow(described.empty().select(added).to_arrow().schema).fields)
            )
        return table

    def _write_deltas_way(
        self,
        table: DeltaTable,
        rows: pl.DataFrame,
        mode: str,
        properties: CommitProperties,
        predicate: str | None = None,
    ) -> None:
        """By Delta's own writer: in buckets, and where only some rows of a partition are replaced."""
        write_deltalake(
            table,
            rows,
            mode=mode,  # type: ignore[arg-type]
            predicate=predicate,
            partition_by=table.metadata().partition_columns or None,
            commit_properties=properties,
        )


def _replacing(scope: Scope, table: DeltaTable) -> CommitProperties:
    """Of two commits that replace rows of one month after the same state, the later one fails."""
    marker = Transaction(f"replace:{scope.month}", table.version() + 1)
    return CommitProperties(app_transactions=[marker])


def _complete(frame: pl.LazyFrame, name: str) -> pl.LazyFrame:
    known = frame.collect_schema().names()
    missing = {column: dtype for column, dtype in TABLES[name].schema.items() if column not in known}
    return (
        frame.with_columns(pl.lit(None, dtype=dtype).alias(column) for column, dtype in missing.items())
        if missing
        else frame
    )


@dataclass
class Cursor:
    """Appending exactly once. Markers are read and rows are committed against one snapshot of the table.

    Rows and markers land in one Delta commit. If another writer moved a marker since the snapshot was taken, the commit
    fails (`LostRace`) and nothing is written: the winner has done the work.
    """

    lake: Lake
    name: str
    table: DeltaTable

    def marker(self, app: str) -> int | None:
        """How far `app` has come in writing this table, as recorded with its last commit."""
        return self.table.transaction_version(app)

    def append(self, frame: pl.DataFrame, *, markers: Mapping[str, int]) -> None:
        """Add rows and record how far each app has come: both happen or neither does."""
        transactions = [Transaction(app, position) for app, position in markers.items()]
        properties = CommitProperties(app_transactions=transactions)
        try:
            self.lake.append(self.name, self.table, frame, properties)
        except CommitFailedError as error:
            raise LostRace(self.name) from error


class LostRace(TransientFailure):
    """Another run appended first."""

    code = "LOST_RACE"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"table {name}: another run appended at the same time and won; nothing was written, run again"
        )
