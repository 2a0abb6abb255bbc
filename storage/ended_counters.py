"""The edge's counters of billing periods that are long over, forgotten. Put here: which those are, removing them. Keep out: putting the
others right (recount.py).

A counter is moved and read while its period is published with the rights of its customer: the last one, the running one and the next.
Before that nobody asks for it any more, and every period would leave one behind for each customer and unit. Young ones stay all the same,
should a change of the subscription be taken back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from redis import Redis

from domain.access import TenantRights
from domain.instant import micros
from storage import hot_state

_YOUNG = timedelta(days=62)
_LONGEST = timedelta(days=2 * 366)
"""Of customers without rights counters stay so long: a year and the one after it, should the rights come back."""
_CUSTOMERS = 1000


def forget_ended(redis: Redis, rights: TenantRights, now: datetime) -> int:
    """Remove the tenant's counters that started before all published periods of their customer, and two months ago. Returns how many. Asks Redis once for
    each thousand customers that have counters."""
    young = micros(now - _YOUNG)
    oldest = {
        customer.customer_id: min(
            young, *(start for each in customer.subscriptions for start, _ in each.periods)
        )
        for customer in rights.customers
        if any(each.periods for each in customer.subscriptions)
    }
    otherwise = micros(now - _LONGEST)
    forgotten = 0
    counted = hot_state.counted_customers(redis, rights.tenant_id)
    for at in range(0, len(counted), _CUSTOMERS):
        ended = [
            (customer, field)
            for customer, field in _fields(redis, rights.tenant_id, counted[at : at + _CUSTOMERS])
            if int(field.rpartition("|")[2]) < oldest.get(customer, otherwise)
        ]
        _remove(redis, rights.tenant_id, ended)
        forgotten += len(ended)
    return forgotten


def _fields(redis: Redis, tenant_id: str, customers: Sequence[str]) -> Iterator[tuple[str, str]]:
    asked = redis.pipeline(transaction=False)
    for customer in customers:
        asked.hkeys(hot_state.usage_key(tenant_id, customer))
    for customer, fields in zip(customers, asked.execute(), strict=True):
        for field in fields:
            yield customer, field.decode()


def _remove(redis: Redis, tenant_id: str, ended: Iterable[tuple[str, str]]) -> None:
    removal: Any = redis.pipeline(transaction=False)
    for customer, field in ended:
        removal.hdel(hot_state.usage_key(tenant_id, customer), field)
        removal.unlink(hot_state.distinct_key(tenant_id, customer, field))
    removal.execute()
