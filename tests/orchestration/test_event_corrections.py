"""Single events voided and amended: before a month is issued and after, once, with the original kept and the counters put right."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from domain.catalog.fields import CatalogRefused, FieldProblem
from domain.counters import counter_field
from storage import hot_state
from storage.database import session_scope
from storage.drain import drain
from storage.events_found import EventNotFound, whole_story
from storage.evidence import find
from storage.increments import increments
from storage.replay_report import report
from storage.scope import Scope
from storage.services.event_corrections import (
    AlreadyCorrected,
    EventCorrections,
    EventNotAccepted,
    VoidIsFinal,
    count_waiting,
    send_waiting,
)
from storage.services.invoice_preview import invoice_preview
from storage.tables.corrections import EventActRow
from storage.tenancy import tenant_tx
from tests.orchestration.test_by_itself import minute
from tests.orchestration.test_replay import (
    approve,
    issue,
    proposals,
    replayed,
    total,
)
from tests.scenarios import MARCH, event
from tests.world import World
from transforms.frames import METERED_EVENTS
from transforms.gate import gate

WHY = {"reason": "test traffic"}


def act(
    world: World, what: str, key: str, sent: dict[str, Any] = WHY, *, tenant: str = "acme"
) -> EventActRow:
    with tenant_tx(world.database_url, tenant) as tx:
        corrections = EventCorrections(tx, world.lake, world.redis)
        return corrections.void(key, sent) if what == "void" else corrections.amend(key, sent)


def land(world: World) -> None:
    """What the next ingest does, without a run."""
    send_waiting(world.database_url, world.redis)
    drain(world.redis, world.lake)
    for batch in increments(world.lake):
        batch.commit(*gate(batch.raw, standing_keys=batch.standing_keys))


def story(world: World, key: str) -> dict[str, Any]:
    with session_scope(world.database_url) as session:
        return whole_story(session, world.lake, world.redis, "acme", key)


def test_a_void_event_is_simply_not_billed_and_the_original_is_kept(billed: World):
    act(billed, "void", "ada-gb-1")
    with session_scope(billed.database_url) as session:
        assert count_waiting(session) == 1
    billed.ingest()
    assert send_waiting(billed.database_url, billed.redis) == 0, "the run has sent it, once"
    billed.close(MARCH)
    assert total(billed, MARCH) == Decimal("15.50"), "10.00 + 1.50 + 4 gigabytes at 1.00"
    assert billed.rows("raw_events", tenants=("acme",)).filter(idempotency_key="ada-gb-1").height == 1
    assert replayed(billed, batch=2).is_equal

    issue(billed, MARCH)
    late = event("ada", "gigabytes", 1, "2026-03-20T00:00:00Z", "late")
    billed.send("acme", [late], received="2026-04-02T00:00:00")
    land(billed)
    with session_scope(billed.database_url) as session:
        billed.lake.replace("metered_events", METERED_EVENTS.empty(), Scope(MARCH, ("acme",)))
        found = find(session, billed.lake, "INV-2026-0001", "acme")
    keys = set(found.events["idempotency_key"])
    assert keys & {"ada-gb-1", "ada-gb-2", "late"} == {"ada-gb-2"}, (
        "proved from what was known then, the void included"
    )


def test_an_amended_event_is_billed_as_it_should_have_been_also_in_another_month(billed: World):
    act(billed, "amend", "ada-gb-1", WHY | {"quantity": "2.5"})
    act(billed, "amend", "ada-gb-2", WHY | {"occurredAt": "2026-04-03T00:00:00Z"})
    land(billed)
    (line,) = report(replayed(billed))["differences"]
    assert (line["billed"], line["replayed"]) == ("11.25", "2.5"), "2.5 gigabytes at 1.00"
    with session_scope(billed.database_url) as session:
        april = invoice_preview(session, billed.lake, "acme", "ada", "2026-04")
    assert [row["total"] for row in april["settlements"]] == [Decimal(14)], "10.00 + 4 gigabytes at 1.00"


def test_after_the_invoice_was_issued_a_void_is_a_finding_and_an_adjustment(billed: World):
    issue(billed, MARCH)
    act(billed, "void", "ada-gb-2")
    land(billed)
    (proposal,) = proposals(billed)
    assert approve(billed, proposal["id"]) == [(Decimal("-2.75"), "PENDING")], "11.25 billed, 8.50 owed"
    assert replayed(billed).is_equal, "the adjustment puts it right"
    with session_scope(billed.database_url) as session:
        found = find(session, billed.lake, "INV-2026-0001", "acme")
    assert found.events.filter(idempotency_key="ada-gb-2").height == 1, "proof is of what it was billed from"


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
    (mine, _) = report(replayed(billed))["differences"]
    assert (mine["tenantId"], mine["billed"], mine["replayed"]) == ("acme", "11.25", "0")


def test_a_request_that_says_nothing_clear_is_refused(billed: World):
    complaints: list[tuple[dict[str, Any], str]] = [
        (WHY, "quantity: is missing"),
        ({"quantity": 1}, "reason: is missing"),
        (WHY | {"quantity": "lots"}, "quantity"),
        (WHY | {"customerId": "bob"}, "customerId: stays as it is"),
        (WHY | {"colour": "red"}, "colour: is not a field"),
        (WHY | {"properties": [1]}, "properties: .* is not an object"),
    ]
    for sent, complaint in complaints:
        with pytest.raises(FieldProblem, match=complaint):
            act(billed, "amend", "ada-gb-1", sent)
    door: list[tuple[dict[str, Any], str]] = [
        ({"quantity": -1}, "negative"),
        ({"occurredAt": "2999-01-01T00:00:00Z"}, "more than 5 minutes"),
    ]
    for said, complaint in door:
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
    assert story(billed, told["acts"][0]["actKey"])["state"] == "ACT"
    fresh = event("ada", "gigabytes", 1, "2026-03-20T00:00:00Z", "fresh")
    billed.send("acme", [fresh], received="2026-03-20T00:00:00")
    assert story(billed, "fresh")["state"] == "ON_ITS_WAY"


def test_the_edges_counters_move_by_what_an_act_changes(billed: World):
    rights = hot_state.read_rights(billed.redis, "acme", "ada")
    assert rights is not None
    now = datetime.now(UTC).timestamp() * 1e6
    begins = [begin for subscription in rights.subscriptions for begin, _ in subscription.periods]
    start = max(begin for begin in begins if begin < now)
    received = datetime.fromtimestamp(start / 1e6, UTC)
    said = event("ada", "gigabytes", 8, received.isoformat(), "now-1")
    billed.send("acme", [said], received=received.replace(tzinfo=None).isoformat())
    land(billed)
    act(billed, "amend", "now-1", WHY | {"quantity": 5})
    land(billed)
    counted = hot_state.read_counters(billed.redis, "acme", "ada")
    field = counter_field("gigabytes", start)
    assert counted[field] == -3_000_000, (
        "8 taken back and 5 added, to a counter this world's door never raised"
    )


def test_an_act_that_was_sent_twice_by_a_crash_counts_once(billed: World):
    row = act(billed, "amend", "ada-gb-1", WHY | {"quantity": 2})
    send_waiting(billed.database_url, billed.redis)
    with session_scope(billed.database_url) as session:
        # As if the process had died between the log and the note that it was sent.
        session.get_one(EventActRow, ("acme", row.id)).sent_at = None
    assert count_of_ticks(billed) == 1, "a recorded act starts a run by itself"
    land(billed)
    (line,) = report(replayed(billed))["differences"]
    assert (line["billed"], line["replayed"]) == ("11.25", "6")
    arrived = [each["outcome"] for each in story(billed, row.act_key)["received"]]
    assert arrived == ["ACCEPTED", "DUPLICATE"]


def count_of_ticks(world: World) -> int:
    drain(world.redis, world.lake)
    return len(minute(world).run_requests)
