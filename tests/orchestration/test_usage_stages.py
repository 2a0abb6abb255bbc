"""Caps, rollover, prices by dimension and fees, month after month through the lineage and its gates."""

from decimal import Decimal

import pytest

from tests.scenarios import event
from tests.world import World

CATALOG = """
tenant: {id: acme, name: Acme, currency: USD}
units:
  - {key: calls, name: Calls, aggregation: COUNT}
  - {key: tokens, name: Tokens, aggregation: SUM}
  - {key: tools, name: Tools, aggregation: SUM}
ratePlans:
  - key: all
    name: All
    currency: USD
    baseFee: 10
    baseFeeTiming: ADVANCE
    setupFee: 99
    metrics:
      - {unit: calls, rate: 1, limit: 2, ovBehavior: BLOCK}
      - {unit: tokens, rate: 1, includedFree: 100, rollover: {cap: 50}}
      - {unit: tools, rate: 1, includedFree: 1, dimensionPricing: {field: tool, values: {search: 2}}}
offerings:
  - {code: all, name: All, ratePlan: all, currency: USD}
customers:
  - {id: ada, name: Ada}
subscriptions:
  - {id: sub, customer: ada, offering: all, startDate: 2026-02-01}
"""


def usage(month: str, tokens: int) -> list[dict]:
    times = [f"2026-{month}-0{day}T12:00:00Z" for day in range(1, 7)]
    return [
        *(event("ada", "calls", 1, at, f"call-{at}") for at in times[:3]),
        event("ada", "tokens", tokens, times[3], f"tokens-{month}"),
        event("ada", "tools", 3, times[4], f"search-{month}", metadata={"tool": "search"}),
        event("ada", "tools", 1, times[5], f"draw-{month}", metadata={"tool": "draw"}),
    ]


def lines(world: World, month: str) -> dict[str, Decimal]:
    found = world.rows("invoice_lines", month=month).select("description", "amount")
    return dict(found.iter_rows())


@pytest.mark.slow
def test_two_months_pass_every_gate_and_the_second_knows_the_first(world: World) -> None:
    world.apply(CATALOG)
    world.send("acme", usage("02", 30), received="2026-02-20T00:00:00")
    world.send("acme", usage("03", 160), received="2026-03-20T00:00:00")
    world.ingest()
    world.close("2026-03")
    held = world.rows("routed_lines", month="2026-03")["hold_reason"].unique().to_list()
    assert "ROLLOVER_UNKNOWN" in held[0]
    world.close("2026-02")
    world.close("2026-03")
    every_month = {
        "Calls, 1 beyond the limit of 2 not charged": 2, "Tools": 0, "Tools: search": 6,
    }  # fmt: skip
    assert lines(world, "2026-02") == every_month | {
        "All plan: setup fee": 99,
        "All plan: base fee": 10,
        "All plan: base fee, 2026-03-01 to 2026-03-31 in advance": 10,
        "Tokens": 0,
    }
    assert lines(world, "2026-03") == every_month | {
        "All plan: base fee, 2026-04-01 to 2026-04-30 in advance": 10,
        "Tokens": 10,
    }
