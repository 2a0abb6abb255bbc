"""One key, one event: which of several stands."""

from __future__ import annotations

from typing import Any

import pytest

from tests.transforms.event_rows import STANDING, gated, raw_event, raws


def codes(*rows: dict[str, Any]) -> list[str | None]:
    """The quarantine code of each event, in order; None: kept."""
    kept, quarantined = gated(raws(*rows))
    found = dict.fromkeys(kept["raw_seq"]) | dict(quarantined.select("raw_seq", "code").iter_rows())
    return [found[place] for place in sorted(found)]


def test_the_first_of_a_key_stands_and_the_others_name_it() -> None:
    kept, quarantined = gated(raws(raw_event("a"), raw_event("b"), raw_event("a"), raw_event("a")))
    assert kept["raw_seq"].to_list() == [1, 2]
    assert quarantined.select("raw_seq", "code", "first_raw_seq").rows() == [
        (3, "DUPLICATE", 1),
        (4, "DUPLICATE", 1),
    ]


def test_the_same_key_with_other_content_is_a_conflict_and_the_first_stands() -> None:
    assert codes(raw_event("a", 1), raw_event("a", 2), raw_event("a", 1)) == [
        None,
        "IDEMPOTENCY_CONFLICT",
        "DUPLICATE",
    ]


def test_keys_that_only_share_a_hash_are_different_events() -> None:
    assert codes(raw_event("a", key_hash=7), raw_event("b", key_hash=7), raw_event("a", key_hash=7)) == [
        None,
        None,
        "DUPLICATE",
    ]


def test_tenants_never_share_a_key_even_where_hashes_collide() -> None:
    assert codes(raw_event("a", key_hash=7), raw_event("a", tenant_id="other", key_hash=7)) == [None, None]


def test_an_event_that_was_refused_does_not_use_up_its_key() -> None:
    refused = raw_event("a", door="REJECTED", reject_code="UNKNOWN_METRIC")
    assert codes(refused, raw_event("a"), raw_event("a")) == ["UNKNOWN_METRIC", None, "DUPLICATE"]


@pytest.mark.parametrize(
    ("quantity", "expected"), [(1, "DUPLICATE"), (2, "IDEMPOTENCY_CONFLICT")], ids=["same", "other"]
)
def test_a_key_is_remembered_from_earlier_batches(quantity: int, expected: str) -> None:
    standing = gated(raws(raw_event("a", 1)))[0].select(STANDING)
    kept, quarantined = gated(raws(raw_event("a", quantity), raw_event("b"), first=10), standing)
    assert kept["raw_seq"].to_list() == [11]
    assert quarantined.select("raw_seq", "code", "first_raw_seq").row(0) == (10, expected, 1)


def test_a_standing_key_that_only_shares_the_hash_refuses_nothing() -> None:
    standing = gated(raws(raw_event("a", key_hash=7)))[0].select(STANDING)
    kept, _ = gated(raws(raw_event("b", key_hash=7), first=10), standing)
    assert kept["idempotency_key"].to_list() == ["b"]
