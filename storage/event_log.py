"""The append-only event log in Redis. Put here: the shape of an entry, appending, draining. Keep out: gates, HTTP, lake.

One stream per tenant, `log:{tenant}`, one entry per request. The embedded Valkey runs `appendfsync always`: it syncs
its append-only file before it replies, so a reply to `append` means the entry is on disk. `assert_durable` refuses a
Redis that is set up otherwise; where its configuration may not be read, each append waits for the sync (WAITAOF).

The drain reads after the position it has committed, commits, then trims: see `read`, `trim`, `incarnation`.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import msgspec
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import NoPermissionError, NoScriptError, ResponseError

from domain.counters import Bump
from domain.errors import TransientFailure
from domain.limits import Counted, Limit
from domain.quantity import plain
from domain.usage import UsageEvent
from storage import append_arguments
from storage.connections import is_cluster, settings_of, settings_of_async
from storage.event_macs import EventKey, Origin
from storage.redis_line import Line, Pooled

ACCEPTED, DUPLICATE, CONFLICT, REJECTED = "A", "D", "C", "X"
REMEMBER_SECONDS = 3 * 86_400
"""How long the door remembers a key. A fast path only: the lake knows every key for ever."""

TENANTS = "log-tenants"
_SCRIPTS = Path(__file__).parent / "scripts"
_SCRIPT = "".join((_SCRIPTS / name).read_text(encoding="utf-8") for name in ("limits.lua", "append.lua"))
_SHA = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()
_SYNC_WAIT_MS = 5_000


class LogNotDurable(TransientFailure):
    """Redis does not sync every write to disk, so nothing may be acknowledged."""

    code = "LOG_NOT_DURABLE"


class LogRecord(msgspec.Struct, omit_defaults=True):
    """One received event as it stands in an entry, one JSON line each; see `LogEntry.body`.

    c customer, u unit (key, or as sent), q quantity (decimal text), t occurred at (epoch µs), k idempotency key,
    h key hash, p payload hash, n correction, x reject code, d reject detail, f backfill reason, j event as sent. Of an
    operator's act upon an event alone: a VOID or AMEND, o key of that event, r receipt of its origin (epoch µs). m: its MAC, always
    the last member; see event_macs.
    """

    c: str | None
    u: str | None
    q: str | None
    t: int | None
    k: str | None
    h: int | None
    p: int | None
    n: bool
    x: str | None
    d: str | None
    f: str | None
    j: str
    a: str | None = None
    o: str | None = None
    r: int | None = None
    m: str | None = None


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One request as drained. position: the id as one integer, rising (ms << 20 | seq). body: JSON lines (LogRecord),
    one per event, in order; `verdicts` has one char for each: A accepted, D duplicate, C conflict, X rejected. trace_id: of
    the request, where it was traced."""

    id: str
    position: int
    received_at_us: int
    source: str
    key_id: str
    verdicts: str
    body: bytes
    trace_id: str | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the log did with a request. created: the stream was new, so its tenant must be (re)announced.

    A hard limit refused it where `verdicts` is empty; then nothing was written. killed: those of its sessions that were.
    spooled: it is on the edge's own disk and not yet in the log, so duplicates of earlier requests count as accepted.
    """

    verdicts: str
    entry_id: str
    created: bool
    limits: tuple[Counted, ...] = ()
    killed: tuple[str, ...] = ()
    spooled: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """What goes into one entry: the events of one request with their texts as sent and the counters they move.

    limits: the windows it counts in, by name (with the tenant's tag). sessions: (session, whether it ended) as named by it.
    trace_id: of the request, if it is traced. signed_with: puts a MAC on each event.
    kept: (spool, rising number) of one that waited on local disk, so that it is taken over once.
    """

    tenant_id: str
    source: str
    key_id: str
    received_at: int
    events: Sequence[UsageEvent]
    texts: Sequence[str]
    bumps: Sequence[Sequence[Bump]]
    limits: Sequence[tuple[str, Limit]] = ()
    sessions: Sequence[tuple[str, bool]] = ()
    trace_id: str | None = None
    signed_with: EventKey | None = None
    kept: tuple[str, int] | None = None


def log_key(tenant_id: str) -> str:
    """The stream of a tenant; the braces keep all keys of a tenant in one slot of a cluster."""
    return f"log:{{{tenant_id}}}"


def append(
    redis: Redis, request: Request, *, remember: int = REMEMBER_SECONDS, wait: bool = False
) -> Receipt:
    """Append one request, at once or not at all, deciding duplicates and moving counters; returns when it is on disk.

    remember: seconds the door keeps a key. wait: what `assert_durable` returned. Raises LogNotDurable and Redis'
    own errors; after an error the request may or may not be in the log, and sending it again doubles nothing.
    """
    arguments = _arguments(request, remember)
    if wait:
        pipeline = redis.pipeline(transaction=False)
        _plan_wait(pipeline, arguments)
        return _receipt(*pipeline.execute()[1:])
    try:
        return _receipt(redis.evalsha(_SHA, 1, *arguments))
    except NoScriptError:
        return _receipt(redis.eval(_SCRIPT, 1, *arguments))


async def append_async(
    redis: AsyncRedis | Line | Pooled,
    request: Request,
    *,
    remember: int = REMEMBER_SECONDS,
    wait: bool = False,
) -> Receipt:
    """`append` for the event loop. wait: needs a client with pipelines."""
    return await _append_async(redis, _arguments(request, remember), wait=wait)


async def _append_async(
    redis: AsyncRedis | Line | Pooled, arguments: tuple[Any, ...], *, wait: bool
) -> Receipt:
    if wait and isinstance(redis, AsyncRedis):
        pipeline = redis.pipeline(transaction=False)
        _plan_wait(pipeline, arguments)
        return _receipt(*(await pipeline.execute())[1:])
    try:
        return _receipt(await redis.evalsha(_SHA, 1, *arguments))
    except NoScriptError:
        return _receipt(await redis.eval(_SCRIPT, 1, *arguments))


def pack(request: Request, *, remember: int = REMEMBER_SECONDS) -> bytes:
    """A request as `append_packed_async` takes it later, perhaps in another process. It has `kept`, and no limits: it was let in."""
    assert request.kept is not None and not request.limits
    return msgspec.msgpack.encode((append_arguments.FORM, request.tenant_id, _arguments(request, remember)))


async def append_packed_async(redis: AsyncRedis, packed: bytes, *, wait: bool = False) -> Receipt:
    """Append what `pack` made; once, however often it is called: the log knows what it has had of a spool, and says nothing (no
    verdicts) to what it is told again. Records of a spool must come in order. Raises like `append_async`."""
    form, _, arguments = msgspec.msgpack.decode(packed)
    return await _append_async(redis, append_arguments.of_form(form, arguments), wait=wait)


def packed_tenant(packed: bytes) -> str:
    """Whose request it is."""
    return cast(str, msgspec.msgpack.decode(packed)[1])


def announce(redis: Redis, tenant_id: str) -> None:
    """Put a tenant on the list of tenants with a log. Before its first append, and when a receipt says `created`. Its incarnation too,
    so that the drain, which makes room, needs none."""
    redis.sadd(TENANTS, tenant_id)
    redis.set(_incarnation_key(tenant_id), secrets.token_hex(16), nx=True)


async def announce_async(redis: AsyncRedis, tenant_id: str) -> None:
    """`announce` for the event loop."""
    await redis.sadd(TENANTS, tenant_id)
    await redis.set(_incarnation_key(tenant_id), secrets.token_hex(16), nx=True)


def tenants(redis: Redis) -> list[str]:
    """The tenants that have a log, in order."""
    return sorted(_text(tenant) for tenant in redis.smembers(TENANTS))


def pending(redis: Redis, tenant_id: str) -> int:
    """Requests (entries) in the log that have not been trimmed."""
    return int(redis.xlen(log_key(tenant_id)))


def read(redis: Redis, tenant_id: str, after: str = "", count: int = 1000) -> list[LogEntry]:
    """Up to `count` entries after the entry `after` (empty: from the beginning), oldest first."""
    start = f"({after}" if after else "-"
    found: Any = redis.xrange(log_key(tenant_id), min=start, count=count)
    return [_entry(entry_id, fields) for entry_id, fields in found]


def trim(redis: Redis, tenant_id: str, upto_id: str) -> int:
    """Remove entries up to and including `upto_id`, never a newer one. Returns how many went."""
    millis, _, sequence = upto_id.partition("-")
    return int(redis.xtrim(log_key(tenant_id), minid=f"{millis}-{int(sequence) + 1}", approximate=False))


def incarnation(redis: Redis, tenant_id: str) -> str:
    """The life of this log: a random id beside it. Another one than before: Redis was lost and started empty, so
    positions start anew and must not be compared with committed ones."""
    key = _incarnation_key(tenant_id)
    found = redis.get(key)
    if found is None:
        redis.set(key, secrets.token_hex(16), nx=True)
        found = redis.get(key)
    return cast(bytes, found).decode()


def _incarnation_key(tenant_id: str) -> str:
    return f"log-incarnation:{{{tenant_id}}}"


def position_of(entry_id: str) -> int:
    """An entry id as one rising 64-bit integer."""
    millis, _, sequence = entry_id.partition("-")
    return int(millis) << 20 | int(sequence)


def entry_id(position: int) -> str:
    """The entry id that `position_of` gave this integer."""
    return f"{position >> 20}-{position & 0xFFFFF}"


def assert_durable(redis: Redis) -> bool:
    """Raise LogNotDurable unless a reply can mean "on disk". Returns whether each append must wait for the sync
    itself, because Redis does not let us read how it is set up."""
    try:
        return _judge(settings_of(redis, "append*"))
    except NoPermissionError:
        return _must_wait(redis)
    except ResponseError as error:
        return _forbidden(error) and _must_wait(redis)


async def assert_durable_async(redis: AsyncRedis) -> bool:
    """`assert_durable` for the event loop."""
    try:
        return _judge(await settings_of_async(redis, "append*"))
    except NoPermissionError:
        return _must_wait(redis)
    except ResponseError as error:
        return _forbidden(error) and _must_wait(redis)


def _judge(servers: Iterable[dict[Any, Any]]) -> bool:
    for server in servers:
        _judge_one({_text(name): _text(value) for name, value in server.items()})
    return False


def _judge_one(found: dict[str, str]) -> None:
    if found.get("appendonly") != "yes":
        raise LogNotDurable("Redis has appendonly = no: events would be lost with it. Set appendonly yes.")
    if found.get("appendfsync") != "always":
        raise LogNotDurable(
            f"Redis has appendfsync = {found.get('appendfsync')}: the last second of acknowledged events could be "
            "lost. Set appendfsync always."
        )


def _must_wait(redis: Redis | AsyncRedis) -> bool:
    if is_cluster(redis):
        raise LogNotDurable(
            "The cluster hides its settings, and in a cluster an append cannot wait for the disk. Allow CONFIG GET, or use one server."
        )
    return True


def _forbidden(error: ResponseError) -> bool:
    """Managed Redis has no CONFIG command at all."""
    if "unknown command" in str(error).lower():
        return True
    raise error


def _plan_wait(pipeline: Any, arguments: tuple[Any, ...]) -> None:
    """WAITAOF speaks of its own connection's writes, so it travels with the script."""
    pipeline.script_load(_SCRIPT)
    pipeline.evalsha(_SHA, 1, *arguments)
    pipeline.execute_command("WAITAOF", 1, 0, _SYNC_WAIT_MS)


def _arguments(request: Request, remember: int) -> tuple[Any, ...]:
    tag = f"{{{request.tenant_id}}}"
    gates, keys = append_arguments.keys_of(tag, request.events)
    counters, moves = append_arguments.counted(request.bumps)
    plan = {
        "once": append_arguments.once(keys),
        "counters": counters,
        "limits": [limit.written(name) for name, limit in request.limits],
        "sessions": [(session, int(ended)) for session, ended in request.sessions],
    }
    if request.kept is not None:
        plan["kept"] = request.kept
    return (
        log_key(request.tenant_id),
        tag,
        remember,
        gates,
        append_arguments.packed_keys(keys),
        msgspec.msgpack.encode(plan),
        request.received_at,
        request.source,
        request.key_id,
        _body(request),
        request.trace_id or "",
        moves,
    )


def line_of(record: LogRecord) -> bytes:
    """A record as it stands in an entry."""
    return _ENCODER.encode(record)


def entry_of(request: Request) -> LogEntry:
    """The request as an entry would be drained where no log stands between: keys are not looked up, so no duplicate is told."""
    verdicts = "".join(REJECTED if event.refusals else ACCEPTED for event in request.events)
    return LogEntry("0-0", 0, request.received_at, request.source, request.key_id, verdicts, _body(request))


def _body(request: Request) -> bytes:
    records = [_record(e, text) for e, text in zip(request.events, request.texts, strict=True)]
    if request.signed_with is None:
        return _ENCODER.encode_lines(records)[:-1]
    origin = Origin(request.tenant_id, request.received_at, request.source, request.key_id)
    return request.signed_with.signed(origin, map(_ENCODER.encode, records))


def _record(event: UsageEvent, text: str) -> LogRecord:
    record = LogRecord(
        event.customer_id,
        event.unit,
        None if event.quantity is None else plain(event.quantity),
        event.occurred_at,
        event.idempotency_key,
        event.key_hash,
        event.payload_hash,
        event.correction,
        None,
        None,
        event.backfill,
        text,
    )
    if event.refusals:
        record.x, record.d = event.refusals[0].code, event.refusals[0].detail
    if event.act is not None:
        record.a, record.o, record.r = event.act.kind, event.act.corrects, event.act.origin_received_at
    return record


def _receipt(reply: Any, synced: Any = None) -> Receipt:
    if synced is not None and int(synced[0]) < 1:
        raise LogNotDurable(f"Redis did not sync the entry to disk within {_SYNC_WAIT_MS} ms; send it again.")
    verdicts, entry_id, created, limits, killed = reply
    return Receipt(
        _text(verdicts),
        _text(entry_id),
        bool(int(created)),
        tuple(Counted(bool(over), left, reset, wait) for over, left, reset, wait in limits),
        tuple(_text(session) for session in killed),
    )


def _entry(entry_id: bytes, fields: dict[bytes, bytes]) -> LogEntry:
    name = _text(entry_id)
    return LogEntry(
        id=name,
        position=position_of(name),
        received_at_us=int(fields[b"r"]),
        source=fields[b"s"].decode(),
        key_id=fields[b"i"].decode(),
        verdicts=fields[b"v"].decode(),
        body=fields[b"b"],
        trace_id=fields[b"t"].decode() if b"t" in fields else None,
    )


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


_ENCODER = msgspec.json.Encoder()
