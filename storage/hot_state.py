"""Hot state in Redis: who may do what, and usage as counted at the door. Put here: its keys and their forms.

Keep out: what rights follow from (repositories), what is answered (domain.entitlement). The pipeline side writes with
`publish`; the edge reads the same keys with its asynchronous client through the `*_key` and `decode_*` functions.

    hot-state                       published tenants; where it is missing, "no such key" may mean "Redis was lost"
    key:<sha256 of the secret>      KeyRecord (not tagged: the tenant is what the key tells us)
    keys:{tenant}                   hashes of the tenant's keys
    units:{tenant}                  lower-case key or name -> UnitRecord
    rights:{tenant}                 customer id -> CustomerRights
    rights-version:{tenant}         raised by each publish
    usage:{tenant}:<customer>       `<unit>|<period start µs>` -> millionths of a unit
    distinct:{tenant}:<customer>|<unit>|<period start µs>   HyperLogLog behind a UNIQUE counter
    counted:{tenant}                customers that have counters
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec
from redis import Redis

from domain.access import CustomerRights, KeyRecord, TenantRights, UnitRecord

PUBLISHED = "hot-state"
_BATCH = 1000

decode_key = msgspec.json.Decoder(KeyRecord).decode
decode_unit = msgspec.json.Decoder(UnitRecord).decode
decode_customer = msgspec.json.Decoder(CustomerRights).decode


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


def counted_key(tenant_id: str) -> str:
    return f"counted:{{{tenant_id}}}"


def publish(redis: Redis, rights: TenantRights) -> int:
    """Replace a tenant's units, rights and keys by these; what is not in them is gone. Returns the new version.

    Units and rights change in one transaction. Key records are whole in themselves and live in other slots of a
    cluster: withdrawn ones go first, new ones come last, so at no moment does a key open more than it should.
    """
    tenant = rights.tenant_id
    fresh = {sha: msgspec.json.encode(record) for sha, record in rights.keys.items()}
    stale = {_text(member) for member in redis.smembers(keys_key(tenant))} - fresh.keys()
    for sha in stale:
        redis.delete(key_key(sha))
    transaction = redis.pipeline(transaction=True)
    if stale:
        transaction.srem(keys_key(tenant), *stale)
    if fresh:
        transaction.sadd(keys_key(tenant), *fresh)
    _replace(transaction, units_key(tenant), _units(rights))
    _replace(
        transaction, rights_key(tenant), {c.customer_id: msgspec.json.encode(c) for c in rights.customers}
    )
    transaction.incr(version_key(tenant))
    version = int(transaction.execute()[-1])
    for sha, record in fresh.items():
        redis.set(key_key(sha), record)
    redis.sadd(PUBLISHED, tenant)
    return version


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
            for field, amount in found.items():
                unit, _, period = _text(field).rpartition("|")
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


def _units(rights: TenantRights) -> dict[str, bytes]:
    """A key beats another unit's name."""
    records = [(unit, msgspec.json.encode(unit)) for unit in rights.units]
    by_name = {unit.name.lower(): record for unit, record in records}
    return by_name | {unit.key.lower(): record for unit, record in records}


def _replace(transaction: Redis, key: str, mapping: dict[str, bytes]) -> None:
    transaction.delete(key)
    if mapping:
        transaction.hset(key, mapping=cast(dict[Any, Any], mapping))


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
