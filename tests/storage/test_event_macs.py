"""Each event carries proof that a door of ours wrote it: from the log into the lake, and what becomes of one that was tampered with."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from redis import Redis

from api.edge.settings import EdgeSettings
from domain.access import UnitRecord
from domain.usage import Door, read_event
from storage import event_log
from storage.checking import Checking, checking_here
from storage.drain import Drained, drain, to_raw
from storage.event_macs import EventKeys, Origin, event_keys, rotate_event_key, signing_key_here
from storage.lake import Lake
from storage.raw_macs import macs_of, misfits
from tests.api.edge.world import event as edge_event
from tests.api.edge.world import serving
from transforms.gate import gate

NOW = 1_700_000_000_123_456
UNITS = {
    "tokens": UnitRecord("tokens", "Tokens", "SUM"),
    "refunds": UnitRecord("refunds", "Refunds", "SUM", allow_negative=True),
}
ODD = (
    {"idempotencyKey": "plain"},
    {"idempotencyKey": "exact", "quantity": "123456789012.123456789012"},
    {"idempotencyKey": "e", "quantity": "1e3"},
    {"idempotencyKey": "zero", "quantity": "0.000"},
    {"idempotencyKey": "back", "metricName": "refunds", "quantity": "-2.50"},
    {"idempotencyKey": 'k","m":"ek.forged', "note": '","m":"ek00000000.AAAA"}', "x": "y"},
    {"idempotencyKey": "ünïcode\u2028/\\", "nested": {"m": ["a", None, True]}},
    {"idempotencyKey": "refused", "metricName": "nothing"},
    {"idempotencyKey": "wrong", "quantity": "lots"},
    {"idempotencyKey": None},
)


@pytest.fixture
def lake(lake_url: str) -> Lake:
    return Lake(lake_url)


@pytest.fixture
def keys(home: Path) -> EventKeys:
    return event_keys(home, make=True)


def send(redis: Redis, *several: dict[str, Any], keys: EventKeys | None) -> str:
    """One request as the edge logs it; its verdicts."""
    sent = [{"customerId": "c1", "metricName": "tokens", "quantity": 1} | each for each in several]
    events = [
        read_event(each, Door("acme", UNITS), received_at=NOW, position=n) for n, each in enumerate(sent)
    ]
    texts = [json.dumps(each, ensure_ascii=False) for each in sent]
    event_log.announce(redis, "acme")
    request = event_log.Request(
        "acme", "ingest", "key_1", NOW, events, texts, [[] for _ in events],
        signed_with=keys.current if keys else None,
    )  # fmt: skip
    return event_log.append(redis, request).verdicts


def tamper(redis: Redis, **changed: tuple[bytes, bytes]) -> None:
    """Change fields of the only entry behind the door's back: {field: (what stands there, what shall)}."""
    ((entry_id, fields),) = redis.xrange(event_log.log_key("acme"))
    for field, (old, new) in changed.items():
        assert old in fields[field.encode()]
        fields[field.encode()] = fields[field.encode()].replace(old, new, 1)
    redis.delete(event_log.log_key("acme"))
    redis.xadd(event_log.log_key("acme"), fields, id=entry_id)


def landed(lake: Lake) -> dict[str, str | None]:
    rows = lake.scan("raw_events").sort("raw_seq").collect()
    assert gate(rows, standing_keys=lambda hashes: rows.head(0))  # every one of them finds its half
    return dict(zip(rows["door"] + " " + rows["idempotency_key"].fill_null("-"), rows["reject_code"], strict=True))  # fmt: skip


def test_whatever_was_sent_can_be_proved_from_its_row_in_the_lake(
    redis: Redis, lake: Lake, keys: EventKeys
) -> None:
    verdicts = send(redis, *ODD, keys=keys)
    assert drain(redis, lake, checking=Checking(keys, takes_unsigned=False)).verdicts == {
        "ACCEPTED": verdicts.count("A"),
        "REJECTED": verdicts.count("X"),
    }
    rows = macs_of(lake, "acme", pl.Series(range(1, len(ODD) + 1)))
    assert rows["mac"].null_count() == 0 and rows.height == len(ODD)
    assert "MAC_MISMATCH" not in rows["reject_code"].to_list()
    assert misfits(rows, keys) == []
    more = rows.with_columns(
        quantity=pl.when(pl.col("raw_seq") == 1).then(pl.lit(2)).otherwise("quantity").cast(rows["quantity"].dtype),
        customer_id=pl.when(pl.col("raw_seq") == 3).then(pl.lit("c2")).otherwise("customer_id"),
    )  # fmt: skip
    assert misfits(more, keys) == [1, 3]


@pytest.mark.parametrize(
    "changed",
    [
        {"b": (b'"q":"1"', b'"q":"9"')},
        {"b": (b'"q":"1"', b'"q":"lots"')},
        {"b": (b'"c":"c1"', b'"c":"c2"')},
        {"b": (b'"m":"ek', b'"m":"ex')},
        {"b": (b"{", b"<")},
    ],
)
def test_a_tampered_event_is_quarantined_with_what_was_found_and_the_others_pass(
    redis: Redis, lake: Lake, keys: EventKeys, changed: dict[str, tuple[bytes, bytes]]
) -> None:
    send(redis, {"idempotencyKey": "a"}, {"idempotencyKey": "b"}, keys=keys)
    tamper(redis, **changed)
    assert drain(redis, lake, checking=Checking(keys)) == Drained({"REJECTED": 1, "ACCEPTED": 1}, 1, 2)
    assert landed(lake) == {"REJECTED -": "MAC_MISMATCH", "ACCEPTED b": None}
    found = lake.scan("raw_events").collect().row(0, named=True)
    assert changed["b"][1].decode() in found["payload"]
    assert event_log.pending(redis, "acme") == 0


@pytest.mark.parametrize(
    ("field", "old", "new"), [("r", b"1700000000", b"1600000000"), ("s", b"ingest", b"upload"), ("i", b"key_1", b"key_2")]
)  # fmt: skip
def test_time_source_and_key_are_covered_too(
    redis: Redis, lake: Lake, keys: EventKeys, field: str, old: bytes, new: bytes
) -> None:
    send(redis, {"idempotencyKey": "a"}, keys=keys)
    tamper(redis, **{field: (old, new)})
    drain(redis, lake, checking=Checking(keys))
    assert landed(lake) == {"REJECTED -": "MAC_MISMATCH"}


@pytest.mark.parametrize(("sent", "old", "new"), [("nothing", b"X", b"A"), ("tokens", b"A", b"X")])
def test_a_verdict_that_was_turned_round_is_noticed(
    redis: Redis, lake: Lake, keys: EventKeys, sent: str, old: bytes, new: bytes
) -> None:
    send(redis, {"idempotencyKey": "a", "metricName": sent}, keys=keys)
    tamper(redis, v=(old, new))
    drain(redis, lake, checking=Checking(keys))
    assert landed(lake) == {"REJECTED -": "MAC_MISMATCH"}


def test_another_tenants_event_cannot_be_moved_into_this_log(keys: EventKeys) -> None:
    line = keys.current.signed(Origin("rival", NOW, "ingest", "k"), [b'{"c":"c1"}'])  # type: ignore[union-attr]
    assert keys.judge(Origin("rival", NOW, "ingest", "k"))(line) == "FITS"
    assert keys.judge(Origin("acme", NOW, "ingest", "k"))(line) == "DIFFERS"


def test_events_without_a_mac_pass_unless_none_may(redis: Redis, lake: Lake, keys: EventKeys) -> None:
    send(redis, {"idempotencyKey": "a"}, keys=None)
    drain(redis, lake, checking=Checking(keys))
    send(redis, {"idempotencyKey": "b"}, keys=None)
    drain(redis, lake, checking=Checking(keys, takes_unsigned=False))
    assert landed(lake) == {"ACCEPTED a": None, "REJECTED -": "MAC_MISSING"}
    refused = lake.scan("raw_events").filter(pl.col("raw_seq") == 2).collect()["payload"][0]
    assert json.loads(refused)["idempotencyKey"] == "b", "as sent, so that it can be sent again"


def test_after_a_rotation_old_and_new_events_are_good(
    redis: Redis, lake: Lake, home: Path, keys: EventKeys
) -> None:
    send(redis, {"idempotencyKey": "a"}, keys=keys)
    fresh = rotate_event_key(home)
    both = event_keys(home)
    send(redis, {"idempotencyKey": "b"}, keys=both)
    drain(redis, lake, checking=checking_here())
    macs = lake.scan("raw_events").sort("raw_seq").collect()["mac"].str.split(".").list.first()
    assert macs.to_list() == [keys.current.id, fresh]  # type: ignore[union-attr]
    assert landed(lake) == {"ACCEPTED a": None, "ACCEPTED b": None}


def test_keys_are_for_their_owner_only_and_made_once(home: Path) -> None:
    assert signing_key_here() is None
    first = event_keys(home, make=True).current
    again = event_keys(home, make=True).current
    assert first is not None and again is not None and first.id == again.id
    assert stat.S_IMODE((home / "secrets" / "event_keys.json").stat().st_mode) == 0o600


def test_the_edge_signs_unless_it_is_told_not_to() -> None:
    assert EdgeSettings.from_env({}).sign_events
    assert not EdgeSettings.from_env({"AFORO_SIGN_EVENTS": "off"}).sign_events
    with pytest.raises(ValueError, match="AFORO_SIGN_EVENTS"):
        EdgeSettings.from_env({"AFORO_SIGN_EVENTS": "maybe"})


async def test_what_the_edge_takes_in_can_be_proved_and_is_found_by_its_key(
    redis: Redis, redis_url: str, home: Path
) -> None:
    from storage import hot_state
    from tests.api.edge.world import rights

    hot_state.publish(redis, rights())
    async with serving(redis_url, home=str(home), sign_events=True) as edge:
        answer: httpx.Response = await edge.post("/v1/ingest", json=edge_event("a"))
        assert answer.status_code == 202
        assert (await edge.get("/v1/events/a")).json()["state"] == "ON_ITS_WAY"
    entries = event_log.read(redis, "t1")
    assert Checking(event_keys(home), takes_unsigned=False).checked("t1", entries) == entries
    assert misfits(to_raw("t1", entries, first=1), event_keys(home)) == []
