"""What decisions about access look at in Redis, and what is held back there. Put here: asking in one round trip, holds, margin
levels, killed sessions, limits of a tenant. Keep out: rights (hot_state.py), the decision (domain.entitlement).

    limit:<tag of the window>:<seconds>:<stretch>   requests counted; not in the append-only file
    limits:{tenant}        what is limited otherwise than by default: `<door>`, `tenant/<door>`, `plan/<plan>/<door>`, `key/<key>/<door>`
    held:, holds:{tenant}:<customer>, reservation:{tenant}:<id>   see holds.lua and hold.lua
    margin:{tenant}        customer -> MarginLevel
    sessions:{tenant}      sessions by when they were last heard of; killed:{tenant}: those to be stopped, until when
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import msgspec
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import NoScriptError

from domain.access import MarginLevel
from domain.limits import Counted, Limit, write_limit
from storage.hot_state import version_key
from storage.redis_line import Line, Pooled

_FOLDER = Path(__file__).parent / "scripts"
_encode = msgspec.msgpack.Encoder().encode
decode_margin = msgspec.json.Decoder(MarginLevel).decode
Question = tuple[str, Sequence[str]]
"""A customer, and which of its counters."""
Request = tuple[Sequence[tuple[str, int, int, int] | tuple[str, int, int, int, int]], Sequence[Question]]
"""The limits it counts in, as `Limit.written` or `written_for`, and what it asks."""
KILLED_SECONDS = 86_400
"""How long a client that goes on with a killed session is told so."""
KILLED_AT_EDGE = "killed-at-edge"
"""Acts that wait to be recorded: see edge_acts.py."""


class Script:
    """A Lua script made of these files, known to Redis by its hash."""

    def __init__(self, *names: str) -> None:
        self._text = "".join((_FOLDER / name).read_text(encoding="utf-8") for name in names)
        self._sha = hashlib.sha1(self._text.encode(), usedforsecurity=False).hexdigest()

    async def run(self, redis: AsyncRedis | Line | Pooled, key: str, *arguments: Any) -> Any:
        """One round trip, two when Redis was restarted."""
        try:
            return await redis.evalsha(self._sha, 1, key, *arguments)
        except NoScriptError:
            return await redis.eval(self._text, 1, key, *arguments)


_ASK = Script("limits.lua", "holds.lua", "ask.lua")
_HOLD = Script("holds.lua", "hold.lua")
_RELEASE = Script("holds.lua", "release.lua")


class Found(msgspec.Struct, frozen=True):
    """One customer's counters and what is held back of them, in millionths by field, and its margin level. holds: something is held
    back, if not of these."""

    counted: Mapping[str, int]
    held: Mapping[str, int]
    margin: MarginLevel | None = None
    holds: bool = False


class Answers(msgspec.Struct, frozen=True):
    """refused: a hard limit did; then nothing was looked up. found: in the order asked."""

    limits: Sequence[Counted]
    refused: bool
    found: Sequence[Found]


@dataclass(frozen=True, slots=True)
class KilledAtEdge:
    """A session that a key has killed. at: epoch seconds."""

    tenant_id: str
    session_id: str
    key_id: str
    at: int


@dataclass(frozen=True, slots=True)
class Held:
    """made: it holds now. before: the record made earlier under the same id. used, held: millionths."""

    made: bool
    before: bytes | None
    is_full: bool
    used: int
    held: int


def limits_key(tenant_id: str) -> str:
    return f"limits:{{{tenant_id}}}"


def margin_key(tenant_id: str) -> str:
    return f"margin:{{{tenant_id}}}"


def killed_key(tenant_id: str) -> str:
    return f"killed:{{{tenant_id}}}"


def reservation_key(tenant_id: str, reservation_id: str) -> str:
    return f"reservation:{{{tenant_id}}}:{reservation_id}"


async def ask(line: Line | Pooled, tenant_id: str, requests: Sequence[Request]) -> list[Answers]:
    """Count the requests of a tenant and look up what they ask for in one round trip."""
    answers = await _ASK.run(line, version_key(tenant_id), f"{{{tenant_id}}}", _encode(requests))
    return [_answers(asked, each) for (_, asked), each in zip(requests, answers, strict=True)]


def _answers(asked: Sequence[Question], answer: Any) -> Answers:
    counted, refused, found = answer
    return Answers(
        [Counted(over == 1, left, reset, wait) for over, left, reset, wait in counted],
        refused == 1,
        [_found(fields, each) for (_, fields), each in zip(asked, found, strict=False)],
    )


def _found(fields: Sequence[str], each: Any) -> Found:
    counted, held, margin = each
    return Found(
        {field: int(amount or 0) for field, amount in zip(fields, counted, strict=True)},
        {field: int(amount) for field, amount in zip(fields, held, strict=False) if amount},
        decode_margin(margin) if margin else None,
        bool(held),
    )


async def hold(
    redis: AsyncRedis,
    tenant_id: str,
    customer_id: str,
    field: str,
    reservation_id: str,
    *,
    amount: int,
    quota: int | None,
    seconds: int,
    record: bytes,
    keep: int,
) -> Held:
    """Hold back `amount` millionths for `seconds`, unless more than the quota would be used and held. keep: how long the record
    of it lasts, so that a second commit is known for what it is."""
    made, used, held, before = await _HOLD.run(
        redis, reservation_key(tenant_id, reservation_id), f"{{{tenant_id}}}", customer_id, field,
        reservation_id, amount, "" if quota is None else quota, seconds, record, keep,
    )  # fmt: skip
    return Held(made == 1, before or None, made == 3, int(used), int(held))


async def release(
    redis: AsyncRedis,
    tenant_id: str,
    customer_id: str,
    reservation_id: str,
    field: str,
    amount: int,
    record: bytes,
    keep: int,
) -> None:
    """Give back what a reservation holds and replace its record. Doing it again changes nothing."""
    hold = f"{reservation_id}|{amount}|{field}"
    name = reservation_key(tenant_id, reservation_id)
    await _RELEASE.run(redis, name, f"{{{tenant_id}}}", customer_id, hold, record, keep)


def set_limits(redis: Redis, tenant_id: str, limits: Mapping[str, Limit | None]) -> None:
    """Replace what is limited otherwise for this tenant: `<door>` for each key, `tenant/<door>` for all keys together,
    `plan/<plan>/<door>` for each key of customers on that plan, `key/<key>/<door>` for one key; None: no limit. The version is raised if they differ."""
    written = {name: write_limit(limit) for name, limit in limits.items()}
    held = cast(dict[bytes, bytes], redis.hgetall(limits_key(tenant_id)))
    if {name.decode(): text.decode() for name, text in held.items()} == written:
        return
    pipeline = redis.pipeline(transaction=True)
    pipeline.delete(limits_key(tenant_id))
    if written:
        pipeline.hset(limits_key(tenant_id), mapping=cast(dict[Any, Any], written))
    pipeline.incr(version_key(tenant_id))
    pipeline.execute()


def set_margins(redis: Redis, tenant_id: str, levels: Mapping[str, MarginLevel | None]) -> None:
    """From now on gateways and canAccess are told these levels, by customer; None: nothing is restricted."""
    gone = [customer for customer, level in levels.items() if level is None]
    kept = {customer: msgspec.json.encode(level) for customer, level in levels.items() if level is not None}
    pipeline = redis.pipeline(transaction=True)
    if gone:
        pipeline.hdel(margin_key(tenant_id), *gone)
    if kept:
        pipeline.hset(margin_key(tenant_id), mapping=cast(dict[Any, Any], kept))
    pipeline.execute()


def margins_known(redis: Redis, tenant_id: str) -> list[str]:
    """The customers that have a level."""
    return [customer.decode() for customer in cast(list[bytes], redis.hkeys(margin_key(tenant_id)))]


def kill_sessions(redis: Redis, tenant_id: str, sessions: Mapping[str, datetime]) -> None:
    """Whoever meters with one of these sessions is told to stop it until the instant."""
    if sessions:
        redis.zadd(killed_key(tenant_id), {each: int(until.timestamp()) for each, until in sessions.items()})


async def kill_session(redis: AsyncRedis, act: KilledAtEdge) -> None:
    """Whoever meters with this session is told to stop it; the act waits to be recorded."""
    tenant_id, session_id, now = act.tenant_id, act.session_id, act.at
    await cast(Any, redis.rpush(KILLED_AT_EDGE, msgspec.json.encode(act)))
    name = killed_key(tenant_id)
    pipeline = redis.pipeline(transaction=True)
    pipeline.zremrangebyscore(name, "-inf", now)
    pipeline.zadd(name, {session_id: now + KILLED_SECONDS})
    await pipeline.execute()


async def live_sessions(redis: AsyncRedis, tenant_id: str, most: int = 1000) -> dict[str, int]:
    """Sessions heard of within the last hour, the latest first, and when (epoch seconds)."""
    found: Any = await redis.zrevrange(f"sessions:{{{tenant_id}}}", 0, most - 1, withscores=True)
    return {session.decode(): int(at) for session, at in found}
