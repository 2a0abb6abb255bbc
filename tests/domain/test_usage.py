"""The gates at the door, one event at a time."""

from __future__ import annotations

import json
from decimal import Decimal
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.access import UnitRecord
from domain.instant import DAY, HOUR, MINUTE, to_micros_since_epoch
from domain.usage import Door, UsageEvent, canonical, read_event

NOW = to_micros_since_epoch("2026-03-01T12:00:00Z")
CALLS = UnitRecord("api_calls", "API Calls", "COUNT")
CREDITS = UnitRecord("credits", "Credits", "SUM", allow_negative=True)
UNITS = {"api_calls": CALLS, "api calls": CALLS, "credits": CREDITS}
DOOR = Door("t1", UNITS)
ACMES_DOOR = Door("t1", UNITS, customer_id="acme")
GOOD = {
    "customerId": "acme",
    "metricName": "api_calls",
    "quantity": 1,
    "occurredAt": "2026-03-01T11:59:59.123Z",
    "idempotencyKey": "k1",
}


def read(door: Door = DOOR, *, received_at: int = NOW, position: int = 0, **fields: object) -> UsageEvent:
    sent = {name: value for name, value in (GOOD | fields).items() if value != "(absent)"}
    return read_event(sent, door, received_at=received_at, position=position)


def code(event: UsageEvent) -> str | None:
    return event.refusals[0].code if event.refusals else None


def test_the_five_body_fields_are_enough() -> None:
    event = read()
    assert not event.refusals
    assert (event.customer_id, event.unit, event.quantity) == ("acme", "api_calls", Decimal(1))
    assert event.occurred_at == NOW - MINUTE // 60 + 123_000
    assert event.key_hash is not None and event.payload_hash is not None


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"customerId": "(absent)"}, "MISSING_CUSTOMER"),
        ({"customerId": "  "}, "MISSING_CUSTOMER"),
        ({"customerId": None}, "MISSING_CUSTOMER"),
        ({"customerId": 7}, "SCHEMA_INVALID"),
        ({"metricName": "(absent)"}, "SCHEMA_INVALID"),
        ({"metricName": ""}, "SCHEMA_INVALID"),
        ({"metricName": ["api_calls"]}, "SCHEMA_INVALID"),
        ({"metricName": "nope"}, "UNKNOWN_METRIC"),
        ({"metricName": "nope", "quantity": "x"}, "SCHEMA_INVALID"),
        ({"quantity": "(absent)"}, "SCHEMA_INVALID"),
        ({"quantity": -1}, "NEGATIVE_QUANTITY"),
        ({"occurredAt": "yesterday"}, "SCHEMA_INVALID"),
        ({"occurredAt": True}, "SCHEMA_INVALID"),
        ({"idempotencyKey": "k" * 513}, "SCHEMA_INVALID"),
        ({"idempotencyKey": 12}, "SCHEMA_INVALID"),
        ({"customerId": "a\0b"}, "SCHEMA_INVALID"),
        ({"idempotencyKey": "k" * 512}, None),
        ({"metricName": "API CALLS"}, None),
        ({"metricName": "system.session.heartbeat", "quantity": 0}, None),
        ({"metricName": "system.session.heartbeat", "customerId": None}, None),
        ({"anything": {"else": [1, 2]}}, None),
    ],
)
def test_schema_customer_and_unit_are_checked(fields: dict[str, object], expected: str | None) -> None:
    assert code(read(**fields)) == expected


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (0, "0"), (10, "10"), ("10", "10"), ("1e3", "1000"), (" 2.5 ", "2.5"), (Decimal("0.1"), "0.1"),
        (Decimal("0.0000000005"), "0"), (Decimal("0.0000000015"), "0.000000002"), (10**17 - 1, "99999999999999999"),
    ],
)  # fmt: skip
def test_quantities_are_exact_decimals_of_nine_places(sent: object, kept: str) -> None:
    assert read(quantity=sent).quantity == Decimal(kept)


@pytest.mark.parametrize(
    "sent",
    [
        "", " ", "NaN", "Infinity", "-inf", "ten", "1_000", "١", "0x10", True, False, [], {}, 10**17, "1e17", "1e999999999",
        "1" * 200, Decimal("1e400"), Decimal("NaN"), "99999999999999999.9999999999",
    ],
)  # fmt: skip
def test_what_is_no_quantity_is_refused(sent: object) -> None:
    event = read(quantity=sent)
    assert code(event) == "SCHEMA_INVALID"
    assert event.refusals[0].field == "quantity"


@pytest.mark.parametrize(
    ("sent", "micros"),
    [
        ("2026-03-01T11:00:00Z", 0),
        ("2026-03-01t11:00:00z", 0),
        ("2026-03-01T11:00:00.123Z", 123_000),
        ("2026-03-01T11:00:00.123456+00:00", 123_456),
        ("2026-03-01T12:00:00.1234567+01:00", 123_456),
        ("2026-03-01T05:30:00.123456789-05:30", 123_456),
        ("2026-03-01T11:00:00.9799600", 979_960),
        ("2026-03-01 11:00:00", 0),
        ("2026-03-01T11:00Z", 0),
        (1772362800000, 0),
        (Decimal("1772362800000.5"), 500),
        ("1772362800001", 1_000),
    ],
)
def test_every_form_of_timestamp_in_use_is_understood(sent: object, micros: int) -> None:
    event = read(occurredAt=sent)
    assert not event.refusals
    assert event.occurred_at == to_micros_since_epoch("2026-03-01T11:00:00Z") + micros


@pytest.mark.parametrize(
    "sent", ["2026-02-30T00:00:00Z", "2026-03-01", "10:00", "2026-03-01T25:00:00Z", "1e12", [], 1e12]
)
def test_what_is_no_time_is_refused(sent: object) -> None:
    assert code(read(occurredAt=sent)) == "SCHEMA_INVALID"


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        (5 * MINUTE, None),
        (5 * MINUTE + 1, "FUTURE_TIMESTAMP"),
        (-2 * HOUR, None),
        (-90 * DAY, None),
        (-90 * DAY - 1, "TOO_OLD"),
    ],
)
def test_the_time_gate_lets_equality_pass(offset: int, expected: str | None) -> None:
    millis = Decimal(NOW + offset) / 1000
    assert code(read(occurredAt=millis)) == expected


def test_an_operators_reason_lets_old_events_in_and_stays_with_them() -> None:
    door = Door("t1", UNITS, backfill="history")
    old, new = read(door, occurredAt=Decimal(NOW - 91 * DAY) / 1000), read(door)
    assert (code(old), old.backfill) == (None, "history")
    assert new.backfill is None
    assert code(read(door, occurredAt=Decimal(NOW + HOUR) / 1000)) == "FUTURE_TIMESTAMP"


def test_seconds_sent_for_milliseconds_are_named_in_the_refusal() -> None:
    assert "not seconds" in read(occurredAt=NOW // 1_000_000).refusals[0].detail


def test_refusals_name_field_value_and_what_would_be_right() -> None:
    refusal = read(quantity="ten").refusals[0]
    assert refusal.detail == 'quantity: "ten" is not a number; send a decimal such as 12 or 0.5'


def test_all_that_is_wrong_is_told_at_once() -> None:
    event = read(quantity="ten", metricName="nope", occurredAt="never")
    assert [refusal.code for refusal in event.refusals] == [
        "SCHEMA_INVALID",
        "SCHEMA_INVALID",
        "UNKNOWN_METRIC",
    ]


def test_only_units_that_allow_it_take_negative_quantities() -> None:
    event = read(metricName="credits", quantity=-3)
    assert (code(event), event.correction, event.quantity) == (None, True, Decimal(-3))


def test_a_customers_key_meters_that_customer_only() -> None:
    assert read(ACMES_DOOR, customerId="(absent)").customer_id == "acme"
    assert code(read(ACMES_DOOR)) is None
    assert code(read(ACMES_DOOR, customerId="zenith")) == "CUSTOMER_MISMATCH"
    assert (
        code(read(ACMES_DOOR, customerId="system", metricName="system.session.heartbeat", quantity=0)) is None
    )


@pytest.mark.parametrize(
    "sent",
    [
        {
            "event_type": "usage",
            "metric_id": "api_calls",
            "quantity": 2,
            "customer_id": "acme",
            "properties": {},
        },
        {"metricKey": "API Calls", "value": 2, "customer": "acme", "timestamp": 1772362800000},
        {"metric_name": "api_calls", "quantity": "2", "customerId": "acme", "idempotency_key": "k"},
    ],
)
def test_the_other_shapes_in_use_mean_the_same(sent: dict[str, object]) -> None:
    event = read_event(sent, DOOR, received_at=NOW)
    assert not event.refusals
    assert (event.customer_id, event.unit, event.quantity) == ("acme", "api_calls", Decimal(2))


@pytest.mark.parametrize("sent", [None, 1, "text", [GOOD]])
def test_what_is_no_object_is_refused(sent: object) -> None:
    assert code(read_event(sent, DOOR, received_at=NOW)) == "SCHEMA_INVALID"


def test_equal_payloads_have_equal_hashes_however_they_are_written() -> None:
    first = read(metadata={"a": 1, "b": 2})
    again = read(
        metadata={"b": 2, "a": 1},
        quantity="1.0",
        metricName="API Calls",
        occurredAt="2026-03-01T12:59:59.123+01:00",
    )
    other = read(metadata={"a": 1, "b": 3})
    assert first.payload_hash == again.payload_hash != other.payload_hash


@given(
    st.dictionaries(
        st.text(max_size=3),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.decimals()
            | st.text(max_size=3)
            | st.floats()
            | st.dates(),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
            ),
            max_leaves=8,
        ),
    )
)
def test_what_hashes_are_made_over_is_written_as_it_always_was(fields: dict[str, object]) -> None:
    assert canonical(fields) == json.dumps(fields, sort_keys=True, separators=(",", ":"), default=str)


_ODD = [
    None, "", " ", "x", "a\0b", "k" * 512, "k" * 513, 0, 1, -1, 0.5, True, 10**17, 10**17 - 1, "1e3", [], {"b": [1]}, {"b": 1, "a": "é"},
    Decimal("0.50"), Decimal("-0"), Decimal("NaN"), "acme", "API Calls", "credits", "nope", "system.tick", "2026-03-01T11:59:59Z",
    "2020-01-01", *((NOW + moved) // 1000 for moved in (0, 5 * MINUTE, 5 * MINUTE + 1000, -90 * DAY, -90 * DAY - 1000)), 10**16,
    Decimal(NOW) / 1000,
]  # fmt: skip


@pytest.mark.parametrize("name", [*GOOD, "value", "event", "customer", "timestamp", "metadata"])
@pytest.mark.parametrize(
    "door",
    [
        DOOR,
        ACMES_DOOR,
        Door("t1", UNITS, "other"),
        Door("t1", {**UNITS, "system.tick": CALLS}, backfill="asked"),
    ],
)
def test_the_short_way_for_usual_events_leads_to_the_same_as_the_gates(name: str, door: Door) -> None:
    without = {each: value for each, value in GOOD.items() if each != name}
    for sent in (without, *({**GOOD, name: value} for value in _ODD)):
        gates = read_event(MappingProxyType(sent), door, received_at=NOW)  # no dict: never the short way
        assert read_event(sent, door, received_at=NOW) == gates, sent


def test_a_time_taken_from_the_receipt_is_no_part_of_the_payload() -> None:
    first = read(occurredAt="(absent)")
    retry = read(occurredAt="(absent)", received_at=NOW + MINUTE)
    assert first.occurred_at == NOW
    assert (first.key_hash, first.payload_hash) == (retry.key_hash, retry.payload_hash)


def test_without_a_key_the_same_event_gets_the_same_key() -> None:
    first, again = (
        read(idempotencyKey="(absent)"),
        read(idempotencyKey="", position=3, received_at=NOW + MINUTE),
    )
    other = read(idempotencyKey="(absent)", quantity=2)
    assert first.idempotency_key == again.idempotency_key != other.idempotency_key


def test_two_events_with_neither_key_nor_time_are_two_events() -> None:
    keys = {
        read(idempotencyKey="(absent)", occurredAt="(absent)", position=n).idempotency_key for n in range(3)
    }
    assert len(keys) == 3


def test_one_key_of_two_tenants_is_two_keys() -> None:
    assert read().key_hash != read(Door("t2", UNITS)).key_hash


def test_a_refused_event_keeps_what_could_be_read() -> None:
    event = read(metricName="nope", quantity=-2)
    assert (event.customer_id, event.unit, event.quantity, event.idempotency_key) == (
        "acme",
        "nope",
        Decimal(-2),
        "k1",
    )
