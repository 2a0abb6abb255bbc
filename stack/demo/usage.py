"""A month of believable usage for the customers of examples/demo.yaml. Put here: what they do and when. Keep out: sending.

The same month gives the same events, whenever and wherever it is made: sending it again changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

from domain.period import month_bounds, zone

TENANT = "northwind-ai"
GATEWAY, BLUEBIRD = "gateway", "bluebird"
"""The two API keys of the catalog: the vendor's own, and one that may meter its customer only."""
Event = dict[str, Any]
Measures = list[tuple[str, int | str, dict[str, Any]]]
"""(unit, quantity, further fields) of one thing that happened."""

_HOURS = (1, 1, 1, 1, 1, 2, 3, 5, 8, 10, 11, 11, 9, 10, 11, 11, 10, 8, 6, 5, 4, 3, 2, 1)
_WEEKDAY, _WEEKEND = 10, 3
_RESENT_EVERY = 45
"""A client that got no answer in time sends again: one event in so many."""


@dataclass(frozen=True)
class Sent:
    """One event and the API key it is sent with."""

    key: str
    event: Event


@dataclass(frozen=True)
class Happening:
    """So many times a month, at this customer, something happens that is metered."""

    customer: str
    time_zone: str
    times: int
    measures: Callable[[Random, date], Measures]


def _inference(rng: Random, day: date) -> Measures:
    model = rng.choice(("nimbus-1", "nimbus-1", "nimbus-2"))
    tokens_in, tokens_out = (
        rng.randint(60, 420) * rng.randint(1, 12),
        rng.randint(20, 160) * rng.randint(1, 6),
    )
    return [
        ("API Requests", 1, {"model": model}),
        ("input_tokens", tokens_in, {"model": model}),
        ("output_tokens", tokens_out, {"model": model}),
    ]


def _agent_run(rng: Random, day: date) -> Measures:
    outcome = "ERROR" if rng.randint(1, 100) <= 7 else "SUCCESS"
    return [("agent_runs", 1, {"metadata": {"outcome": outcome, "steps": rng.randint(2, 14)}})]


def _sign_in(rng: Random, day: date) -> Measures:
    return [("active_users", 1, {"user_id": f"user-{min(rng.randint(1, 260), rng.randint(1, 260)):03d}"})]


def _measure_storage(rng: Random, day: date) -> Measures:
    return [("storage_gb", f"{120 + 4 * day.day + rng.randint(0, 9)}.{rng.randint(0, 999):03d}", {})]


def _payment(rng: Random, day: date) -> Measures:
    cents = rng.randint(490, 6_990) * rng.choice((1, 1, 1, 2, 5))
    return [("payment_volume", f"{cents // 100}.{cents % 100:02d}", {"method": rng.choice(("card", "sepa"))})]


def _call(rng: Random, day: date) -> Measures:
    return [("api_requests", 1, {"endpointPath": rng.choice(("/v1/charges", "/v1/payouts", "/v1/refunds"))})]


def _ticket(rng: Random, day: date) -> Measures:
    return [("support", 1, {"severity": rng.choice(("low", "normal", "high"))})]


def _render(rng: Random, day: date) -> Measures:
    return [("gpu_seconds", rng.randint(30, 900), {})]


MONTHLY = (
    Happening("harbor", "America/New_York", 1_900, _inference),
    Happening("harbor", "America/New_York", 700, _agent_run),
    Happening("mosaic", "UTC", 650, _inference),
    Happening("mosaic", "UTC", 240, _agent_run),
    Happening("lumen", "Europe/Madrid", 1_500, _inference),
    Happening("lumen", "Europe/Madrid", 1_100, _sign_in),
    Happening("lumen", "Europe/Madrid", 120, _measure_storage),
    Happening("lumen", "Europe/Madrid", 9, _ticket),
    Happening("fjord", "Europe/Oslo", 800, _inference),
    Happening("fjord", "Europe/Oslo", 160, _agent_run),
    Happening("kitsune", "Asia/Tokyo", 1_300, _inference),
    Happening("kitsune", "Asia/Tokyo", 700, _sign_in),
    Happening("bluebird", "America/Los_Angeles", 1_250, _payment),
    Happening("bluebird", "America/Los_Angeles", 1_600, _call),
    Happening("quartz", "UTC", 180, _inference),
    Happening("quartz", "UTC", 140, _render),
)
_PRICED = {
    "lumen": {"API Requests", "output_tokens", "active_users", "storage_gb", "support"},
    "kitsune": {"input_tokens", "output_tokens", "active_users"},
}
"""What the clients of these customers meter; they leave out what their plan has no price for."""


def month_of_usage(month: str) -> list[Sent]:
    """All of a month (YYYY-MM), in order of time: good events, some of them sent twice, and bad ones in between.

    After it, some usage without a time of its own: it counts in the month it arrives in.
    """
    good = sorted(
        (sent for n, happening in enumerate(MONTHLY) for sent in _happenings(month, n, happening)),
        key=lambda sent: (sent.event["occurredAt"], sent.event["idempotencyKey"]),
    )
    bad = list(_bad_events(month))
    stream: list[Sent] = []
    for position, sent in enumerate(good, start=1):
        stream.append(sent)
        if position % _RESENT_EVERY == 0:
            stream.append(good[position - 1 - position % 40])
        if bad and position % (len(good) // len(bad)) == 0:
            stream.append(bad.pop(0))
    return stream + bad + list(_usage_of_now(month))


def _happenings(month: str, number: int, happening: Happening) -> Iterator[Sent]:
    rng = Random(f"{month}:{number}")
    bounds = month_bounds(month, happening.time_zone)
    first = bounds.start.astimezone(zone(happening.time_zone)).date()
    days = [first + timedelta(days=n) for n in range(31) if (first + timedelta(days=n)).month == first.month]
    weights = [_WEEKEND if day.weekday() > 4 else _WEEKDAY for day in days]
    allowed = _PRICED.get(happening.customer)
    for count in range(happening.times):
        day = rng.choices(days, weights)[0]
        at = _moment(rng, day, happening.time_zone)
        measures = happening.measures(rng, day)
        for unit, quantity, more in measures:
            if allowed is None or unit in allowed:
                key = f"demo-{month}-{number:02d}-{count:05d}-{unit.lower().replace(' ', '_')}"
                yield _sent(happening.customer, unit, quantity, key, occurredAt=at, **more)


def _moment(rng: Random, day: date, time_zone: str) -> str:
    hour = rng.choices(range(24), _HOURS)[0]
    local = datetime(
        day.year, day.month, day.day, hour, rng.randint(0, 59), rng.randint(0, 59), tzinfo=zone(time_zone)
    )
    moment = local.astimezone(UTC) + timedelta(milliseconds=rng.randint(0, 999))
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _sent(customer: str, unit: str, quantity: int | str, key: str, **more: Any) -> Sent:
    event: Event = {"metricName": unit, "quantity": quantity, "idempotencyKey": key, **more}
    if customer == BLUEBIRD:
        return Sent(BLUEBIRD, event)  # the key says who it is
    return Sent(GATEWAY, {"customerId": customer, **event})


def _bad_events(month: str) -> Iterator[Sent]:
    """What real traffic brings along; the door refuses each of them and says why."""
    noon = month_bounds(month).start + timedelta(days=9, hours=12)
    ago = noon - timedelta(days=95)
    for n in range(24):
        at = (noon + timedelta(hours=n)).isoformat()
        yield Sent(
            GATEWAY, _event(f"demo-{month}-image-{n}", at, customerId="harbor", metricName="image_tokens")
        )
        yield Sent(GATEWAY, _event(f"demo-{month}-nobody-{n}", at))
    for n in range(8):
        at, late = (noon + timedelta(hours=n)).isoformat(), (ago + timedelta(hours=n)).isoformat()
        yield Sent(GATEWAY, _event(f"demo-{month}-minus-{n}", at, customerId="mosaic", quantity=-5))
        yield Sent(
            GATEWAY, _event(f"demo-{month}-clock-{n}", f"2099-01-0{n + 1}T00:00:00Z", customerId="mosaic")
        )
        yield Sent(GATEWAY, _event(f"demo-{month}-old-{n}", late, customerId="fjord"))
        yield Sent(GATEWAY, _event(f"demo-{month}-words-{n}", at, customerId="fjord", quantity="a lot"))
        yield Sent(BLUEBIRD, _event(f"demo-{month}-other-{n}", at, customerId="harbor"))
        yield Sent(
            GATEWAY, _event(f"demo-{month}-beat-{n}", at, metricName="system.session.heartbeat", quantity=0)
        )
        for quantity in (1, 2):  # the second is a conflict: same key, other content
            yield Sent(GATEWAY, _event(f"demo-{month}-twice-{n}", at, customerId="fjord", quantity=quantity))


def _usage_of_now(month: str) -> Iterator[Sent]:
    for n in range(120):
        yield _sent("harbor", "api_requests", 1, f"demo-{month}-now-{n}")
        yield _sent("harbor", "input_tokens", 400 + n, f"demo-{month}-now-tokens-{n}")


def _event(key: str, at: str, **fields: Any) -> Event:
    return {"metricName": "api_requests", "quantity": 1, "occurredAt": at, "idempotencyKey": key, **fields}
