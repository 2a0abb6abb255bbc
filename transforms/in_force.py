"""Which validated events count as they now stand. Put here: what voiding and amending single events does. Keep out: who may do it
(storage.services.event_corrections), money.

An act is an event of its own, in the same log and tables, that names the event it corrects. Each event is corrected once at most;
what an amendment says is corrected by correcting the amendment. Of several acts upon one event the one received first stands, so
neither the order in which events lie in the table nor the batches they came in decide anything.

Cost: one pass over a column that is null for usage; where there are acts, one more over the stored 64-bit hash of the keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from domain.event_correction import AMEND
from domain.usage import key_hash
from transforms.validate import LATE_AFTER

_ACT = ("tenant_id", "idempotency_key", "act", "corrects", "raw_seq")
_OF_ACTS = ("act", "corrects", "origin_received_at")
_Key = tuple[str, str]


def in_force(validated: pl.LazyFrame) -> pl.LazyFrame:
    """The VALIDATED_EVENTS that count: without voided and amended ones and the acts themselves, and with what amendments say under
    the key and the lateness of the event they go back to. `raw_seq` is the amendment's: there stands what counts."""
    is_act = pl.col("act").is_not_null()
    if not validated.select(is_act.any()).collect().item():
        return validated
    acts = validated.filter(is_act).select(_ACT).collect()
    corrected, standing = _resolved(acts.iter_rows(named=True))
    plain = validated.filter(pl.col("act").is_null(), ~pl.col("raw_seq").is_in(_places(validated, corrected)))
    if not standing:
        return plain
    return pl.concat([plain, _as_amended(validated, standing)])


def _resolved(acts: Iterable[Mapping[str, Any]]) -> tuple[set[_Key], dict[int, _Key]]:
    """(the keys that were corrected, the amendments that count: raw position to the key they go back to)."""
    upon: dict[_Key, Mapping[str, Any]] = {}
    keys: set[_Key] = set()
    for act in sorted(acts, key=lambda act: int(act["raw_seq"])):
        upon.setdefault((act["tenant_id"], act["corrects"]), act)
        keys.add((act["tenant_id"], act["idempotency_key"]))
    standing: dict[int, _Key] = {}
    for origin in upon.keys() - keys:
        last = upon[origin]
        while (own := (last["tenant_id"], last["idempotency_key"])) in upon and last["act"] == AMEND:
            last = upon[own]
        if last["act"] == AMEND:
            standing[last["raw_seq"]] = origin
    return set(upon), standing


def _places(validated: pl.LazyFrame, corrected: Iterable[_Key]) -> list[int]:
    """Raw positions of the events with these keys."""
    wanted = pl.DataFrame(
        [(*key, key_hash(*key)) for key in sorted(corrected)],
        schema={"tenant_id": pl.String, "idempotency_key": pl.String, "key_hash": pl.Int64},
        orient="row",
    )
    found = validated.filter(pl.col("key_hash").is_in(wanted["key_hash"].implode()))
    on = ["tenant_id", "key_hash", "idempotency_key"]
    return found.select(*on, "raw_seq").join(wanted.lazy(), on=on, how="semi").collect()["raw_seq"].to_list()


def _as_amended(validated: pl.LazyFrame, standing: Mapping[int, _Key]) -> pl.LazyFrame:
    """What these amendments say, as events of the keys they go back to."""
    places = sorted(standing)
    rows = validated.filter(pl.col("act").is_not_null(), pl.col("raw_seq").is_in(places))
    origins = pl.DataFrame(
        {
            "raw_seq": places,
            "idempotency_key": [standing[place][1] for place in places],
            "key_hash": [key_hash(*standing[place]) for place in places],
        },
        schema_overrides={"raw_seq": pl.Int64, "key_hash": pl.Int64},
    )
    names = rows.collect_schema().names()
    renamed = rows.drop("idempotency_key", "key_hash").join(origins.lazy(), on="raw_seq", how="inner")
    first = pl.col("origin_received_at")
    usage = renamed.with_columns(received_at=first, late=first - pl.col("occurred_at") > pl.lit(LATE_AFTER))
    # From here on it is usage like any other, so that asking again what is in force changes nothing.
    cleared = (pl.lit(None, dtype=rows.collect_schema()[name]).alias(name) for name in _OF_ACTS)
    return usage.with_columns(cleared).select(names)
