"""Events that did not pass: both sides of a conflict, and sent again after a fix exactly once."""

import pytest

from storage.dead_letters import DeadLetterNotFound, dead_letter, dead_letters, send_again
from tests.scenarios import TWO_TENANTS, event
from tests.world import World


def test_a_fixed_dead_letter_counts_once_and_a_conflict_shows_both_payloads(world: World):
    world.apply(TWO_TENANTS["acme"])
    sent = [
        event("ada", "gpu_hours", 3, "2026-03-20T00:00:00Z", "gpu-1"),
        {"customerId": "ada", "metricName": "gpu_hours", "quantity": "0.5"},
        event("ada", "gigabytes", 1, "2026-03-20T00:00:00Z", "gb-1"),
        event("ada", "gigabytes", 2, "2026-03-20T00:00:00Z", "gb-1"),
    ]
    assert world.send("acme", sent, received="2026-03-21T00:00:00") == "XXAC"
    world.ingest()
    assert {row["code"] for row in dead_letters(world.lake, "acme")} == {
        "UNKNOWN_METRIC",
        "IDEMPOTENCY_CONFLICT",
    }
    (conflict,) = dead_letters(world.lake, "acme", ["IDEMPOTENCY_CONFLICT"])
    shown = dead_letter(world.lake, conflict["raw_seq"])
    assert ('"quantity": 2' in shown["payload"], '"quantity": 1' in shown["standing"]["payload"]) == (
        True,
        True,
    )

    again = send_again(world.redis, world.lake, "acme", ["UNKNOWN_METRIC"])
    assert (again.accepted, dict(again.refused)) == (0, {"UNKNOWN_METRIC": 2})
    world.apply(
        TWO_TENANTS["acme"].replace("units:\n", "units:\n  - {key: gpu_hours, name: GPU, aggregation: SUM}\n")
    )
    assert send_again(world.redis, world.lake, "acme", ["UNKNOWN_METRIC"]).accepted == 2
    assert send_again(world.redis, world.lake, "acme", ["UNKNOWN_METRIC"]).duplicates == 2
    world.ingest()
    send_again(world.redis, world.lake, "acme", ["UNKNOWN_METRIC"])
    world.ingest()
    kept = world.rows("validated_events", tenants=("acme",)).filter(unit="gpu_hours")
    assert sorted(map(str, kept["quantity"])) == ["0.500000000", "3.000000000"]
    assert kept["received_at"].dt.day().to_list() == [21, 21]
    with pytest.raises(DeadLetterNotFound):
        dead_letter(world.lake, 9999)
