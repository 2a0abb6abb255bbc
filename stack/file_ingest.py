"""A file of usage through the same gates and into the same log as the edge. Put here: reading the file, sending, counting.

Keep out: what columns mean (row_mapping), the command line (commands/ingest). Rows are read one by one and sent in
chunks, so memory does not grow with the file but for what `Rows` remembers.
"""

from __future__ import annotations

import csv
import io
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import msgspec
from redis import Redis

from api.exact_json import decode
from domain.access import CustomerRights, UnitRecord
from domain.counters import bumps
from domain.errors import PermanentFailure
from domain.usage import IDEMPOTENCY_CONFLICT, SCHEMA_INVALID, Door, UsageEvent, read_event
from stack.row_mapping import Columns, Rows
from storage import event_log, hot_state
from storage.event_macs import signing_key_here

OPERATOR = "operator"
CHUNK = 2_000
_SAMPLES = 10
_MOST_CUSTOMERS = 50_000


class UnknownTenant(PermanentFailure):
    """The tenant is not published, so nobody knows its units."""

    code = "UNKNOWN_TENANT"
    exit_code = 2


class UnreadableFile(PermanentFailure):
    """The file is not what its format says."""

    code = "UNREADABLE_FILE"
    exit_code = 2


@dataclass(frozen=True)
class Line:
    """One row: its number in the file from 1, its fields (None: unreadable, see `problem`), its text as it stands."""

    number: int
    fields: dict[str, Any] | None
    content: str
    problem: str = ""


@dataclass
class Accounting:
    """What became of the events of a file; received = accepted + duplicates + refused."""

    rows: int = 0
    received: int = 0
    accepted: int = 0
    duplicates: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    samples: list[dict[str, Any]] = field(default_factory=list)

    @property
    def refused(self) -> int:
        return self.codes.total()

    def refuse(self, row: int, code: str, detail: str) -> None:
        self.codes[code] += 1
        if len(self.samples) < _SAMPLES:
            self.samples.append({"row": row, "code": code, "detail": detail})


class FileIngest:
    """One file for one tenant, in process: no HTTP, but the same gates and the same append as the edge."""

    def __init__(
        self,
        redis: Redis,
        tenant_id: str,
        columns: Columns,
        *,
        source: str,
        backfill: str | None = None,
        remember: int = event_log.REMEMBER_SECONDS,
    ) -> None:
        if hot_state.read_version(redis, tenant_id) is None:
            known = ", ".join(hot_state.published_tenants(redis)) or "none"
            raise UnknownTenant(
                f"tenant {tenant_id!r} is not known (known: {known}); load it with `aforo apply`"
            )
        self.accounting = Accounting()
        self._redis = redis
        self._rows = Rows(columns)
        self._source = source
        self._remember = remember
        self._units: dict[str, UnitRecord] = hot_state.read_units(redis, tenant_id)
        self._door = Door(tenant_id, self._units, backfill=backfill, salt=source)
        self._rights: dict[str, CustomerRights | None] = {}
        self._wait = event_log.assert_durable(redis)
        self._key = signing_key_here()
        event_log.announce(redis, tenant_id)

    def run(self, lines: Iterable[Line], progress: Callable[[], None] = lambda: None) -> Accounting:
        """Send all rows. progress: called after each chunk. Raises Redis' errors; running it again doubles nothing."""
        chunk: list[tuple[int, dict[str, Any], str, str]] = []
        for line in lines:
            self.accounting.rows += 1
            if line.fields is None:
                chunk.append((line.number, {}, line.content, line.problem))
            else:
                for event, text in self._rows.events(line.fields, line.content):
                    chunk.append((line.number, event, line.content if text is None else text, ""))
            if len(chunk) >= CHUNK:
                self._send(chunk)
                chunk = []
                progress()
        self._send(chunk)
        progress()
        return self.accounting

    def _send(self, chunk: list[tuple[int, dict[str, Any], str, str]]) -> None:
        if not chunk:
            return
        received_at = time.time_ns() // 1000
        events = [
            _unreadable(problem)
            if problem
            else read_event(sent, self._door, received_at=received_at, position=nth)
            for nth, (_, sent, _, problem) in enumerate(chunk)
        ]
        self._learn_rights(events)
        receipt = event_log.append(
            self._redis,
            event_log.Request(
                tenant_id=self._door.tenant_id,
                source=self._source,
                key_id=OPERATOR,
                received_at=received_at,
                events=events,
                texts=[text for _, _, text, _ in chunk],
                bumps=[
                    bumps(event, sent, self._rights.get(event.customer_id or ""))
                    for event, (_, sent, _, _) in zip(events, chunk, strict=True)
                ],
                signed_with=self._key,
            ),
            remember=self._remember,
            wait=self._wait,
        )
        if receipt.created:
            event_log.announce(self._redis, self._door.tenant_id)
        self._account(receipt.verdicts, events, [number for number, _, _, _ in chunk])

    def _learn_rights(self, events: list[UsageEvent]) -> None:
        if len(self._rights) > _MOST_CUSTOMERS:
            self._rights.clear()
        for customer in {event.customer_id for event in events if event.customer_id} - self._rights.keys():
            self._rights[customer] = hot_state.read_rights(self._redis, self._door.tenant_id, customer)

    def _account(self, verdicts: str, events: list[UsageEvent], numbers: list[int]) -> None:
        accounting = self.accounting
        accounting.received += len(verdicts)
        accounting.accepted += verdicts.count(event_log.ACCEPTED)
        accounting.duplicates += verdicts.count(event_log.DUPLICATE)
        for verdict, event, number in zip(verdicts, events, numbers, strict=True):
            if verdict == event_log.REJECTED:
                accounting.refuse(number, event.refusals[0].code, event.refusals[0].detail)
            elif verdict == event_log.CONFLICT:
                key = event.idempotency_key
                accounting.refuse(
                    number, IDEMPOTENCY_CONFLICT, f"key {key!r} was used for an event with other content"
                )


def read_lines(stream: BinaryIO, form: str) -> Iterator[Line]:
    """The rows of a CSV file with a header (`csv`) or of JSON lines (`ndjson`), UTF-8. Raises UnreadableFile."""
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="" if form == "csv" else "\n")
    try:
        yield from _csv_lines(text) if form == "csv" else _json_lines(text)
    except UnicodeDecodeError as error:
        raise UnreadableFile(f"the file is not UTF-8 ({error}); convert it first") from None
    except csv.Error as error:
        raise UnreadableFile(f"the file is not CSV: {error}") from None
    finally:
        text.detach()  # otherwise it would close the stream, which is not ours


def csv_header(path: Path) -> list[str]:
    """The column names of a CSV file."""
    with path.open("r", encoding="utf-8-sig", newline="") as stream:
        return next(csv.reader(stream), [])


def _csv_lines(text: TextIO) -> Iterator[Line]:
    reader = csv.reader(text)
    header = next(reader, [])
    for number, cells in enumerate(reader, start=1):
        if not cells:
            continue
        if len(cells) != len(header):
            problem = f"row {number} has {len(cells)} cells where the header has {len(header)}"
            yield Line(number, None, msgspec.json.encode(cells).decode(), problem)
            continue
        fields = {name: cell for name, cell in zip(header, cells, strict=True) if cell != ""}
        yield Line(number, fields, msgspec.json.encode(dict(zip(header, cells, strict=True))).decode())


def _json_lines(lines: TextIO) -> Iterator[Line]:
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text:
            continue
        try:
            fields = decode(text)
        except (ValueError, RecursionError) as error:
            yield Line(number, None, text, f"line {number} is not valid JSON: {error}")
            continue
        if isinstance(fields, dict):
            yield Line(number, fields, text)
        else:
            yield Line(number, None, text, f"line {number} is not a JSON object")


def _unreadable(problem: str) -> UsageEvent:
    event = UsageEvent()
    event.refuse(SCHEMA_INVALID, "event", problem)
    return event
