"""The edge's counters of billing periods that are long over, forgotten. Put here: which those are, removing them. Keep out: putting the
others right (recount.py).

A counter is moved and read while its period is published with the rights of its customer: the last one, the running one and the next.
Before that nobody asks for it any more, and every period would leave one behind for each customer and unit. Young ones stay all the same,
should a change of the subscription be taken back.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from redis import Redis

from domain.access import TenantRights
from domain.counters import counter_field
from domain.instant import micros
from storage import hot_state

_YOUNG = timedelta(days=62)
_LONGEST = timedelta(days=2 * 366)
"""Of customers without rights counters stay so long: a year and the one after it, should the rights come back."""
_AT_ONCE = 1000


def forget_ended(redis: Redis, rights: TenantRights, now: datetime) -> int:
    """Remove the tenant's counters that started before all published periods of their customer, and two months ago. Returns how many. Reads
    all counters of the tenant."""
    young = micros(now - _YOUNG)
    oldest = {
        customer.customer_id: min(
            young, *(start for each in customer.subscriptions for start, _ in each.periods)
        )
        for customer in rights.customers
        if any(each.periods for each in customer.subscriptions)
    }
    otherwise = micros(now - _LONGEST)
    ended = [
        (customer, counter_field(unit, start))
        for customer, unit, start in hot_state.read_all_counters(redis, rights.tenant_id)
        if start < oldest.get(customer, otherwise)
    ]
    for at in range(0, len(ended), _AT_ONCE):
        _remove(redis, rights.tenant_id, ended[at : at + _AT_ONCE])
    return len(ended)


def _remove(redis: Redis, tenant_id: str, ended: Iterable[tuple[str, str]]) -> None:
    removal: Any = redis.pipeline(transaction=False)
    for customer, field in ended:
        removal.hdel(hot_state.usage_key(tenant_id, customer), field)
        removal.unlink(hot_state.distinct_key(tenant_id, customer, field))
    removal.execute()
