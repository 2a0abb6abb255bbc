"""The lake: one Delta table per asset. Put here: reading, appending once, replacing a scope. Keep out: rules, Dagster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
from deltalake import CommitProperties, DeltaTable, TableFeatures, Transaction, write_deltalake
from deltalake import Schema as DeltaSchema
from deltalake.exceptions import CommitFailedError, TableNotFoundError
from deltalake.transaction import AddAction

from domain.errors import PermanentFailure, TransientFailure
from storage.deletion_vectors import ENABLED, may_lose_rows, replace_rows
from storage.lake_files import COMMIT, Files, entry_of
from storage.scope import Scope
from transforms.frames import LAKE_TABLES as TABLES

_ATTEMPTS = 20
_BATCH = 2_000_000
Approve = Callable[[pl.LazyFrame], pl.LazyFrame | None]
"""Shown the rows that would be stored; the rows to store instead, or None: these."""


class UnknownTable(PermanentFailure):
    """A table nobody described."""

    code = "UNKNOWN_TABLE"

    def __init__(self, name: str) -> None:
        super().__init__(f"table: {name!r} is not in the lake; it has {', '.join(sorted(TABLES))}")


@dataclass(frozen=True)
class _Replaced:
    """What a version of a table has of a scope: these files, and no others need be looked into."""

    files: Files
    version: int

    @property
    def is_newest(self) -> bool:
        return not entry_of(self.files.folder, self.version + 1).exists()


@dataclass(frozen=True)
class Lake:
    """The tables under one folder or bucket URL."""

    url: str
    storage_options: dict[str, str] = field(default_factory=dict)
    _replaced: dict[tuple[str, Scope], _Replaced] = field(default_factory=dict, repr=False, compare=False)

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
        just_replaced = self._replaced.get((name, scope)) if scope else None
        if just_replaced and just_replaced.is_newest:
            return _as_described(name, just_replaced.files)
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
        """`replace` with rows that come part by part and, in a local table, are never held at once. approve: is shown all rows
        before they are committed; what it returns is kept instead, what it raises leaves the table as it was.

        Cost: that of writing the rows; where others' rows lie in the month, one more look at whose they are.
        """
        scope.predicate()  # refuses a scope without a month
        conformed = (TABLES[name].conform(part) for part in parts)
        if not self.is_local:
            rows = pl.concat(conformed)
            instead = approve(rows.lazy())
            self._replace_deltas_way(name, rows if instead is None else instead.collect(), scope)
            return
        self._made(name)
        files = Files(Path(self.path(name)))
        try:
            actions = [each for part in conformed for each in files.write(part, TABLES[name].partition_by)]
            instead = approve(_as_described(name, files))
            if instead is not None:
                files, actions = self._written_anew(name, files, instead)
        except BaseException:
            files.remove()
            raise
        self._commit_instead(name, files, actions, scope)

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

    def _commit_instead(self, name: str, files: Files, actions: list[AddAction], scope: Scope) -> None:
        """Now the files are what the month has of the scope. Raises LostRace."""
        for _ in range(_ATTEMPTS):
            table = self._made(name)
            if self._is_alone(name, scope):
                version = self._commit_month(name, table, files, actions, scope)
            else:
                version = self._commit_beside(table, files, actions, scope)
            if version is not None:
                self._replaced[name, scope] = _Replaced(files, version)
                return
        raise LostRace(name)

    def _commit_month(
        self, name: str, table: DeltaTable, files: Files, actions: list[AddAction], scope: Scope
    ) -> int | None:
        """The month as a whole: the version that has it; None if another commit came first."""
        partition = [("month", "=", scope.month)]
        marker = _replacing(scope, table)
        try:
            self._commit(name, table, files, actions, "overwrite", marker, partition_filters=partition)
        except CommitFailedError:
            return None
        return table.version()

    def _commit_beside(
        self, table: DeltaTable, files: Files, actions: list[AddAction], scope: Scope
    ) -> int | None:
        """Beside rows of others, whose files stay as they are: the version that has them; None if another commit came first."""
        mine = pl.all_horizontal(scope.filters(("tenant_id", "customer_id")))
        return replace_rows(
            files.folder,
            table,
            mine,
            actions,
            partition={"month": str(scope.month)},
            marker=_marker(scope),
            said={
                "operationParameters": {"mode": "Overwrite", "predicate": scope.predicate()},
                COMMIT: files.id,
            },
        )

    def _replace_deltas_way(self, name: str, rows: pl.DataFrame, scope: Scope) -> None:
        """By Delta's own writer, which writes the other rows of the month anew. Raises LostRace."""
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
                configuration=ENABLED if self._by_month(name) else None,
            )
            table = DeltaTable(self.path(name), storage_options=self.storage_options or None)
        known = {each.name for each in table.schema().fields}
        added = [column for column in described.schema if column not in known]
        if added:
            table.alter.add_columns(
                list(DeltaSchema.from_arrow(described.empty().select(added).to_arrow().schema).fields)
            )
        if self._by_month(name) and not may_lose_rows(table):
            table.alter.add_feature(TableFeatures.DeletionVectors, allow_protocol_versions_increase=True)
        return table

    def _by_month(self, name: str) -> bool:
        """Whether some customers' rows of a month are replaced beside those of others, in files of ours."""
        return self.is_local and TABLES[name].partition_by == ("month",)

    def _write_deltas_way(
        self,
        table: DeltaTable,
        rows: pl.DataFrame,
        mode: str,
        properties: CommitProperties,
        predicate: str | None = None,
    ) -> None:
        """By Delta's own writer, in buckets."""
        write_deltalake(
            table,
            rows,
            mode=mode,  # type: ignore[arg-type]
            predicate=predicate,
            partition_by=table.metadata().partition_columns or None,
            commit_properties=properties,
        )


def _as_described(name: str, files: Files) -> pl.LazyFrame:
    rows = files.scan()
    return TABLES[name].empty().lazy() if rows is None else rows.select(list(TABLES[name].schema))


def _marker(scope: Scope) -> str:
    return f"replace:{scope.month}"


def _replacing(scope: Scope, table: DeltaTable) -> CommitProperties:
    """Of two commits that replace rows of one month after the same state, the later one fails."""
    return CommitProperties(app_transactions=[Transaction(_marker(scope), table.version() + 1)])


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
