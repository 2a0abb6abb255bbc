"""Hot state in Redis: who may do what, and usage as counted at the door. Put here: its keys and their forms.

Keep out: what rights follow from (repositories), what is answered (domain.entitlement). The pipeline side writes with
`publish`; the edge reads the same keys with its asynchronous client through the `*_key` and `decode_*` functions.

    hot-state                       published tenants; where it is missing, "no such key" may mean "Redis was lost"
    key:<sha256 of the secret>      KeyRecord (not tagged: the tenant is what the key tells us)
    keys:{tenant}                   hashes of the tenant's keys
    units:{tenant}                  lower-case key or name -> UnitRecord
    rights:{tenant}                 customer id -> CustomerRights
    rights-version:{tenant}         raised by each publish, and by each patch that changes something
    usage:{tenant}:<customer>       `<unit>|<period start µs>` -> millionths of a unit
    distinct:{tenant}:<customer>|<unit>|<period start µs>   HyperLogLog behind a UNIQUE counter
    counted:{tenant}                customers that have counters
    recounted:{tenant}              its counters were all put right since this Redis began (recount.py)
    token-keys                      key id -> public key (JWK) that tokens are checked with
    jti:blocked:<jti>, jti:client:<key id>   revoked tokens, and keys whose tokens are; gone when those have expired
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec
from redis import Redis
from redis.exceptions import WatchError

from domain.access import CustomerRights, KeyRecord, TenantRights, UnitRecord
from domain.errors import TransientFailure

PUBLISHED = "hot-state"
TOKEN_KEYS = "token-keys"
_BATCH = 1000
_SCAN = 500

decode_key = msgspec.json.Decoder(KeyRecord).decode
decode_unit = msgspec.json.Decoder(UnitRecord).decode
decode_customer = msgspec.json.Decoder(CustomerRights).decode


class Overtaken(TransientFailure):
    """Somebody else published since the rights were read, so these may be older; read them again."""

    code = "RIGHTS_OVERTAKEN"

    def __init__(self, tenant_id: str) -> None:
        super().__init__(
            f"The rights of tenant {tenant_id} were published by somebody else meanwhile; try again."
        )


@dataclass(frozen=True, slots=True)
class Patch:
    """A part of a tenant's hot state. units: all of them, None: they stay. customers: rights by id; keys: records by the
    hash of their secret; None there means: gone."""

    units: tuple[UnitRecord, ...] | None = None
    customers: Mapping[str, CustomerRights | None] = field(default_factory=dict)
    keys: Mapping[str, KeyRecord | None] = field(default_factory=dict)


def key_key(secret_sha256: str) -> str:
    return f"key:{secret_sha256}"


def keys_key(tenant_id: str) -> str:
    return f"keys:{{{tenant_id}}}"


def units_key(tenant_id: str) -> str:
    return f"units:{{{tenant_id}}}"


def rights_key(tenant_id: str) -> str:
    return f"rights:{{{tenant_id}}}"


def version_key(tenant_id: str) -> str:
    return f"rights-version:{{{tenant_id}}}"


def usage_key(tenant_id: str, customer_id: str) -> str:
    return f"usage:{{{tenant_id}}}:{customer_id}"


def distinct_key(tenant_id: str, customer_id: str, counter: str) -> str:
    return f"distinct:{{{tenant_id}}}:{customer_id}|{counter}"


def counted_key(tenant_id: str) -> str:
    return f"counted:{{{tenant_id}}}"


def recounted_key(tenant_id: str) -> str:
    return f"recounted:{{{tenant_id}}}"


def blocked_token_key(jti: str) -> str:
    return f"jti:blocked:{jti}"


def blocked_client_key(key_id: str) -> str:
    return f"jti:client:{key_id}"


def publish(redis: Redis, rights: TenantRights, *, announce: bool = True, since: int | None = None) -> int:
    """Replace a tenant's units, rights and keys by these; what is not in them is gone. Returns the new version.

    announce: list the tenant as published. While nobody is listed, an unknown key is an outage and no wrong key.
    since: the version before the rights were read; publish only while it still stands. Raises Overtaken.

    Units and rights change in one transaction. Key records are whole in themselves and live in other slots of a
    cluster: withdrawn ones go first, new ones come last, so at no moment does a key open more than it should.
    """
    tenant = rights.tenant_id
    fresh = {sha: msgspec.json.encode(record) for sha, record in rights.keys.items()}
    stale = {_text(member) for member in redis.smembers(keys_key(tenant))} - fresh.keys()
    with redis.pipeline(transaction=True) as transaction:
        if since is not None:
            _assert_version(transaction, tenant, since)
            transaction.multi()
        for sha in stale:
            redis.delete(key_key(sha))
        if stale:
            transaction.srem(keys_key(tenant), *stale)
        if fresh:
            transaction.sadd(keys_key(tenant), *fresh)
        _replace(transaction, units_key(tenant), _by_name(rights.units))
        _replace(
            transaction, rights_key(tenant), {c.customer_id: msgspec.json.encode(c) for c in rights.customers}
        )
        transaction.incr(version_key(tenant))
        version = _executed(transaction, tenant)
    for sha, record in fresh.items():
        redis.set(key_key(sha), record)
    if announce:
        announce_published(redis, [tenant])
    return version


def announce_published(redis: Redis, tenants: Iterable[str]) -> None:
    """List tenants as published."""
    names = list(tenants)
    if names:
        redis.sadd(PUBLISHED, *names)


def patch(redis: Redis, tenant_id: str, change: Patch, *, since: int, always: bool = False) -> int:
    """Replace a part of a tenant's hot state. Returns its version, raised if something changed (or `always`).

    since: the version before the patch's contents were read; a patch is applied only while it still stands, so that what
    was read earlier never overwrites what was read later. Raises Overtaken.
    """
    with redis.pipeline(transaction=True) as transaction:
        _assert_version(transaction, tenant_id, since)
        changed = _write_keys(redis, tenant_id, change.keys)
        units = _fresh_units(redis, tenant_id, change.units)
        customers = _fresh_customers(redis, tenant_id, change.customers)
        if not (changed or units is not None or customers or always):
            return since
        transaction.multi()
        if units is not None:
            _replace(transaction, units_key(tenant_id), units)
        gone = [customer for customer, record in customers.items() if record is None]
        kept = {customer: record for customer, record in customers.items() if record is not None}
        if gone:
            transaction.hdel(rights_key(tenant_id), *gone)
        if kept:
            transaction.hset(rights_key(tenant_id), mapping=cast(dict[Any, Any], kept))
        transaction.incr(version_key(tenant_id))
        # Key records were written outside of the transaction: whoever is overtaken tries again and sets them right.
        return _executed(transaction, tenant_id)


def known_customers(redis: Redis, tenant_id: str) -> Iterator[str]:
    """The customers whose rights are published, a few at a time."""
    for customer, _ in redis.hscan_iter(rights_key(tenant_id), count=_SCAN):
        yield _text(customer)


def known_keys(redis: Redis, tenant_id: str) -> Iterator[str]:
    """The hashes of the keys that are published, a few at a time."""
    for sha in redis.sscan_iter(keys_key(tenant_id), count=_SCAN):
        yield _text(sha)


def published_tenants(redis: Redis) -> list[str]:
    """The tenants whose rights were published, in order."""
    return sorted(_text(member) for member in redis.smembers(PUBLISHED))


def read_key(redis: Redis, secret_sha256: str) -> KeyRecord | None:
    """The live key with this secret."""
    found = redis.get(key_key(secret_sha256))
    return None if found is None else decode_key(cast(bytes, found))


def read_version(redis: Redis, tenant_id: str) -> int | None:
    """The tenant's version of rights; None: never published, or Redis was lost."""
    found = redis.get(version_key(tenant_id))
    return None if found is None else int(found)


def read_units(redis: Redis, tenant_id: str) -> dict[str, UnitRecord]:
    """The tenant's units by lower-case key and name."""
    return decode_units(cast(dict[bytes, bytes], redis.hgetall(units_key(tenant_id))))


def decode_units(found: Mapping[bytes, bytes]) -> dict[str, UnitRecord]:
    """The units as Redis answers HGETALL."""
    return {name.decode(): decode_unit(record) for name, record in found.items()}


def read_rights(redis: Redis, tenant_id: str, customer_id: str) -> CustomerRights | None:
    """What a customer may do; None: unknown customer."""
    found = redis.hget(rights_key(tenant_id), customer_id)
    return None if found is None else decode_customer(cast(bytes, found))


def read_counters(redis: Redis, tenant_id: str, customer_id: str) -> dict[str, int]:
    """One customer's counters: `<unit>|<period start µs>` to millionths of a unit."""
    found = redis.hgetall(usage_key(tenant_id, customer_id))
    return {_text(field): int(amount) for field, amount in found.items()}


def read_all_counters(redis: Redis, tenant_id: str) -> dict[tuple[str, str, int], int]:
    """All counters of a tenant, (customer, unit, period start µs) to millionths: for comparison with the lake."""
    customers = sorted(_text(member) for member in redis.smembers(counted_key(tenant_id)))
    counters: dict[tuple[str, str, int], int] = {}
    for start in range(0, len(customers), _BATCH):
        batch = customers[start : start + _BATCH]
        pipeline = redis.pipeline(transaction=False)
        for customer in batch:
            pipeline.hgetall(usage_key(tenant_id, customer))
        for customer, found in zip(batch, pipeline.execute(), strict=True):
            for name, amount in found.items():
                unit, _, period = _text(name).rpartition("|")
                counters[customer, unit, int(period)] = int(amount)
    return counters


def reset_counters(redis: Redis, tenant_id: str, counters: Mapping[tuple[str, str, int], int]) -> None:
    """Set counters found adrift to known values, keyed as in `read_all_counters`; all others stay.

    An event accepted between the reading behind the values and this call is overwritten, so reset what is not being
    metered, or compare again. The distinct values behind a UNIQUE counter stay: its next new value counts them all.
    """
    by_customer: dict[str, dict[str, int]] = {}
    for (customer, unit, period), amount in counters.items():
        by_customer.setdefault(customer, {})[f"{unit}|{period}"] = amount
    for customer, fields in by_customer.items():
        transaction = redis.pipeline(transaction=True)
        transaction.hset(usage_key(tenant_id, customer), mapping=cast(dict[Any, Any], fields))
        transaction.sadd(counted_key(tenant_id), customer)
        transaction.execute()


def _assert_version(transaction: Any, tenant_id: str, since: int) -> None:
    """From here on the transaction fails if somebody else publishes. Raises Overtaken if somebody did already."""
    transaction.watch(version_key(tenant_id))
    if int(transaction.get(version_key(tenant_id)) or 0) != since:
        raise Overtaken(tenant_id)


def _executed(transaction: Any, tenant_id: str) -> int:
    """The version, which the transaction raised last. Raises Overtaken."""
    try:
        return int(transaction.execute()[-1])
    except WatchError as error:
        raise Overtaken(tenant_id) from error


def _write_keys(redis: Redis, tenant_id: str, keys: Mapping[str, KeyRecord | None]) -> bool:
    """Write key records that differ, withdrawn ones first; whether there were any. Each lives in a slot of its own."""
    if not keys:
        return False
    read = redis.pipeline(transaction=False)
    for sha in keys:
        read.get(key_key(sha))
    wanted = {sha: None if record is None else msgspec.json.encode(record) for sha, record in keys.items()}
    stale = {sha: wanted[sha] for sha, held in zip(keys, read.execute(), strict=True) if held != wanted[sha]}
    write = redis.pipeline(transaction=False)
    for sha, record in sorted(stale.items(), key=lambda item: item[1] is not None):
        if record is None:
            write.delete(key_key(sha))
            write.srem(keys_key(tenant_id), sha)
        else:
            write.sadd(keys_key(tenant_id), sha)
            write.set(key_key(sha), record)
    write.execute()
    return bool(stale)


def _fresh_units(
    redis: Redis, tenant_id: str, units: tuple[UnitRecord, ...] | None
) -> dict[str, bytes] | None:
    """The units by name if they differ from those published."""
    if units is None:
        return None
    wanted = _by_name(units)
    held = cast(dict[bytes, bytes], redis.hgetall(units_key(tenant_id)))
    return None if {_text(name): record for name, record in held.items()} == wanted else wanted


def _fresh_customers(
    redis: Redis, tenant_id: str, customers: Mapping[str, CustomerRights | None]
) -> dict[str, bytes | None]:
    """Those whose rights differ from those published."""
    if not customers:
        return {}
    held = cast(list[Any], redis.hmget(rights_key(tenant_id), list(customers)))
    wanted = {
        each: None if rights is None else msgspec.json.encode(rights) for each, rights in customers.items()
    }
    return {
        each: wanted[each] for each, record in zip(customers, held, strict=True) if record != wanted[each]
    }


def _by_name(units: Iterable[UnitRecord]) -> dict[str, bytes]:
    """A key beats another unit's name."""
    records = [(unit, msgspec.json.encode(unit)) for unit in units]
    by_name = {unit.name.lower(): record for unit, record in records}
    return by_name | {unit.key.lower(): record for unit, record in records}


def _replace(transaction: Redis, key: str, mapping: dict[str, bytes]) -> None:
    transaction.delete(key)
    if mapping:
        transaction.hset(key, mapping=cast(dict[Any, Any], mapping))


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
