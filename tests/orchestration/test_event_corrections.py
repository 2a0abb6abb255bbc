"""Single events voided and amended: before a month is issued and after, once, with the original kept and the counters put right."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from domain.catalog.fields import CatalogRefused, FieldProblem
from domain.counters import counter_field
from storage import hot_state
from storage.database import session_scope
from storage.events_found import EventNotFound, whole_story
from storage.evidence import find
from storage.lake import Scope
from storage.services.event_corrections import (
    AlreadyCorrected,
    EventCorrections,
    EventNotAccepted,
    VoidIsFinal,
    count_waiting,
    send_waiting,
)
from storage.tables.corrections import EventActRow
from storage.tenancy import tenant_tx
from tests.orchestration.test_replay import (
    adjustment_lines,
    approve,
    issue,
    proposals,
    replayed,
    total,
)
from tests.scenarios import MARCH, event
from tests.world import World, micros

WHY = {"reason": "test traffic"}


def act(
    world: World, what: str, key: str, sent: dict[str, Any] = WHY, *, tenant: str = "acme"
) -> EventActRow:
    with tenant_tx(world.database_url, tenant) as tx:
        corrections = EventCorrections(tx, world.lake, world.redis)
        return corrections.void(key, sent) if what == "void" else corrections.amend(key, sent)


def land(world: World) -> None:
    """The next ingest sends what is recorded, and drains it."""
    world.ingest()


def story(world: World, key: str) -> dict[str, Any]:
    with session_scope(world.database_url) as session:
        return whole_story(session, world.lake, world.redis, "acme", key)


def test_a_void_event_is_simply_not_billed_and_the_original_is_kept(billed: World):
    act(billed, "void", "ada-gb-1")
    with session_scope(billed.database_url) as session:
        assert count_waiting(session) == 1
    land(billed)
    assert send_waiting(billed.database_url, billed.redis) == 0, "it was sent once"
    billed.close(MARCH)
    assert total(billed, MARCH) == Decimal("15.50"), "10.00 + 1.50 + 4 gigabytes at 1.00"
    assert billed.rows("raw_events", tenants=("acme",)).filter(idempotency_key="ada-gb-1").height == 1
    assert replayed(billed, batch=2).is_equal


def test_an_amended_event_is_billed_as_it_should_have_been_also_in_another_month(billed: World):
    act(billed, "amend", "ada-gb-1", WHY | {"quantity": "2.5"})
    act(billed, "amend", "ada-gb-2", WHY | {"occurredAt": "2026-04-03T00:00:00Z"})
    land(billed)
    billed.close(MARCH)
    billed.close("2026-04")
    assert total(billed, MARCH) == Decimal("14.00"), "10.00 + 1.50 + 2.5 gigabytes at 1.00"
    assert total(billed, "2026-04") == Decimal("14.00"), "10.00 + 4 gigabytes at 1.00"
    assert replayed(billed).is_equal
    assert replayed(billed, Scope("2026-04")).is_equal


def test_after_the_invoice_was_issued_a_void_is_a_finding_and_an_adjustment(billed: World, tmp_path: Path):
    issue(billed, MARCH)
    act(billed, "void", "ada-gb-2")
    land(billed)
    (proposal,) = proposals(billed)
    assert approve(billed, proposal["id"]) == [(Decimal("-2.75"), "PENDING")], "11.25 billed, 8.50 owed"
    billed.close("2026-04")
    assert adjustment_lines(billed, "2026-04") == [(Decimal("-2.75"), "Adjustment for 2026-03: Gigabytes")]
    billed.close(MARCH)
    with session_scope(billed.database_url) as session:
        found = find(session, billed.lake, "INV-2026-0001", "acme")
    assert found.events.filter(idempotency_key="ada-gb-2").height == 1, "proof is of what it was billed from"


def test_an_invoice_billed_after_a_void_proves_itself_after_later_events(billed: World):
    act(billed, "void", "ada-gb-2")
    land(billed)
    billed.close(MARCH)
    issue(billed, MARCH)
    late = event("ada", "gigabytes", 1, "2026-03-20T00:00:00Z", "late")
    billed.send("acme", [late], received="2026-04-02T00:00:00")
    billed.ingest()
    billed.close(MARCH)
    with session_scope(billed.database_url) as session:
        found = find(session, billed.lake, "INV-2026-0001", "acme")
    assert sorted(found.events["idempotency_key"]) == ["ada-gb-1", *(f"ada-call-{n}" for n in range(1, 6))][
        1:
    ] + ["ada-gb-1"]


def test_each_event_is_corrected_once_and_everything_else_says_why_not(billed: World):
    conflict = event("ada", "gigabytes", -5, "2026-03-20T00:00:00Z", "refused-1")
    billed.send("acme", [conflict], received="2026-03-21T00:00:00")
    amendment = act(billed, "amend", "ada-gb-1", WHY | {"quantity": 2})
    void = act(billed, "void", "ada-gb-2")
    with pytest.raises(AlreadyCorrected, match="is void"):
        act(billed, "void", "ada-gb-2")
    with pytest.raises(AlreadyCorrected, match=amendment.act_key):
        act(billed, "amend", "ada-gb-1", WHY | {"quantity": 3})
    land(billed)
    with pytest.raises(VoidIsFinal):
        act(billed, "void", void.act_key)
    with pytest.raises(EventNotAccepted, match="NEGATIVE_QUANTITY"):
        act(billed, "void", "refused-1")
    with pytest.raises(EventNotFound):
        act(billed, "void", "nobody-sent-this")
    with pytest.raises(EventNotFound):
        act(billed, "void", amendment.act_key, tenant="globex")
    act(billed, "void", amendment.act_key)
    assert act(billed, "void", "ada-gb-1", tenant="globex").tenant_id == "globex", (
        "its own event of the same key"
    )
    land(billed)
    billed.close(MARCH)
    assert total(billed, MARCH) == Decimal("11.50")


@pytest.mark.parametrize(
    ("sent", "complaint"),
    [
        (WHY, "quantity: is missing"),
        ({"quantity": 1}, "reason: is missing"),
        (WHY | {"quantity": "lots"}, "quantity"),
        (WHY | {"customerId": "bob"}, "customerId: stays as it is"),
        (WHY | {"colour": "red"}, "colour: is not a field"),
        (WHY | {"properties": [1]}, "properties: .* is not an object"),
    ],
)
def test_a_request_that_says_nothing_clear_is_refused(billed: World, sent: dict[str, Any], complaint: str):
    with pytest.raises(FieldProblem, match=complaint):
        act(billed, "amend", "ada-gb-1", sent)


def test_what_the_door_would_refuse_no_amendment_may_say(billed: World):
    for said, complaint in (
        ({"quantity": -1}, "negative"),
        ({"occurredAt": "2999-01-01T00:00:00Z"}, "more than 5 minutes"),
    ):
        with pytest.raises(CatalogRefused, match=complaint):
            act(billed, "amend", "ada-gb-1", WHY | said)


def test_the_story_of_an_event_is_told_from_arrival_to_invoice(billed: World):
    other = event("ada", "gigabytes", 99, "2026-03-10T00:00:00Z", "ada-gb-1")
    assert billed.send("acme", [other], received="2026-03-16T00:00:00") == "C"
    assert story(billed, "ada-gb-1")["state"] == "COUNTED"
    act(billed, "void", "ada-gb-1")
    land(billed)
    told = story(billed, "ada-gb-1")
    assert [(row["outcome"], '"quantity": 99' in row["payload"]) for row in told["received"]] == [
        ("ACCEPTED", False),
        ("IDEMPOTENCY_CONFLICT", True),
    ]
    assert (told["state"], [(row["kind"], row["reason"]) for row in told["acts"]]) == (
        "VOIDED",
        [("VOID", "test traffic")],
    )
    (bill,) = told["billed"]
    assert (bill["month"], bill["disposition"], bill["invoiceNumber"]) == (MARCH, "BILLABLE", "INV-2026-0001")
    billed.close(MARCH)
    assert story(billed, "ada-gb-1")["billed"] == []
    assert story(billed, told["acts"][0]["actKey"])["state"] == "ACT"
    fresh = event("ada", "gigabytes", 1, "2026-03-20T00:00:00Z", "fresh")
    billed.send("acme", [fresh], received="2026-03-20T00:00:00")
    assert story(billed, "fresh")["state"] == "ON_ITS_WAY"


def test_the_edges_counters_move_by_what_an_act_changes(billed: World):
    start = micros("2026-03-01T00:00:00")
    rights = hot_state.read_rights(billed.redis, "acme", "ada")
    assert rights is not None
    periods = {period for subscription in rights.subscriptions for period in subscription.periods}
    if not any(begin == start for begin, _ in periods):
        start = max(begin for begin, _ in periods)
    moment = start + 3_600_000_000
    at = f"{moment // 1000}"
    said = event("ada", "gigabytes", 8, int(at), "now-1")
    billed.send("acme", [said], received="2026-11-30T00:00:00", backfill="test")
    billed.ingest()
    act(billed, "amend", "now-1", WHY | {"quantity": 5})
    land(billed)
    field = counter_field("gigabytes", start)
    counted = hot_state.read_counters(billed.redis, "acme", "ada")
    assert counted[field] == -3_000_000, (
        "the world's door counts nothing itself; the act took 8 back and added 5"
    )
