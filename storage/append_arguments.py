"""What append.lua is told besides the records. Put here: keys and counters of a request in the script's form, and older forms of both.
Keep out: entries (event_log.py), the script itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from struct import Struct
from typing import Any

import msgspec

from domain.counters import ADD, Bump
from domain.usage import UsageEvent

FORM = 2  # of a spooled request: raise it with the arguments of append.lua, and read the older ones too
_CHUNK = 2 * 1_000
_SUMMABLE = 500_000_000_000  # 10,000 such amounts still add up exactly in Lua; larger ones travel as text, and are not added there
_INT64 = 2**63 - 1
_SIGNED = Struct(">q")
_OLD_KEY, _OLD_DIGEST = 48, 32

encode, decode = msgspec.msgpack.encode, msgspec.msgpack.decode


def keys_of(tag: str, events: Iterable[UsageEvent]) -> tuple[str, list[str]]:
    """What the gates said of each event, and name, payload, name, payload, … of those they did not refuse."""
    prefix = f"seen:{tag}:"
    gates: list[str] = []
    pairs: list[str] = []
    for event in events:
        if event.refusals:
            gates.append("X")
            continue
        assert event.digest is not None and event.payload_hash is not None
        gates.append("?")
        pairs += prefix + event.digest.hex(), _SIGNED.pack(event.payload_hash).hex()
    return "".join(gates), pairs


def packed_keys(pairs: Sequence[str]) -> bytes:
    """In lists of as many as one command takes."""
    return encode([pairs[at : at + _CHUNK] for at in range(0, len(pairs), _CHUNK)])


def once(pairs: Sequence[str]) -> bool:
    """Whether no key stands twice among them."""
    return len(set(pairs[::2])) * 2 == len(pairs)


def counted(bumps: Iterable[Sequence[Bump]]) -> tuple[list[Any], bytes]:
    """customer, field, operation, sum, customer, … of the counters, and each event's part, packed. sum: what the events add to it, False
    where that does not add up, or not exactly."""
    found: dict[tuple[str, str, str], int] = {}
    counters: list[Any] = []
    apart: set[int] = set()
    events, begins, amounts = [], [], []
    for position, several in enumerate(bumps, start=1):
        for customer, field, operation, amount in several:
            at = found.setdefault((customer, field, operation), len(counters) + 1)
            if at > len(counters):
                counters += customer, field, operation, 0
            if operation == ADD and isinstance(amount, int) and -_SUMMABLE <= amount <= _SUMMABLE:
                counters[at + 2] += amount
            else:
                apart.add(at)
                amount = amount if isinstance(amount, str) else _lua_number(amount)
            events.append(position)
            begins.append(at)
            amounts.append(amount)
    for at in apart:
        counters[at + 2] = False
    return counters, encode((events, begins, amounts))


def _lua_number(amount: int) -> int | str:
    if abs(amount) <= _SUMMABLE:
        return amount
    return str(max(-_INT64, min(_INT64, amount)))


def of_form(form: int, arguments: Sequence[Any]) -> tuple[Any, ...]:
    """Arguments of a request spooled in this form or an older one, as the script takes them now."""
    assert form in (1, FORM), f"a spooled request has the form {form}, and {FORM} is the newest known here"
    return tuple(arguments) if form == FORM else _of_form_1(*arguments)


def _of_form_1(
    log: str, tag: str, remember: int, gates: str, keys: str, plan: bytes, *rest: Any
) -> tuple[Any, ...]:
    """Keys were one text of 48 chars for each, without their prefix; counters had no sums, and their moves were in the plan."""
    pairs: list[str] = []
    for at in range(0, len(keys), _OLD_KEY):
        middle = at + _OLD_DIGEST
        pairs += f"seen:{tag}:{keys[at:middle]}", keys[middle : at + _OLD_KEY]
    told = decode(plan)
    told["counters"] = [part for counter in told["counters"] for part in (*counter, False)]
    begins = [4 * which - 3 for which in told.pop("which")]
    moves = encode((told.pop("events"), begins, told.pop("amounts")))
    told["once"] = once(pairs)
    return log, tag, remember, gates, packed_keys(pairs), encode(told), *rest, moves
