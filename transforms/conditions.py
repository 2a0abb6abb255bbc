"""Looking into events on frames. Put here: a field of the payload, filter conditions over it. Keep out: what a condition
means (domain/filters.py, which the door asks too), which events to ask.

Cost: the field is cut out of simple payloads as text; each distinct text is read and judged once. Only payloads with nested
objects, escapes, or the name in several places are read one by one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from decimal import Decimal, DecimalException
from typing import Any

import msgspec
import polars as pl

from domain.access import FilterCondition
from domain.filters import as_text, field_value, meets

_PLACES = ("metadata", "properties")
_OBJECT = r"\{[^{}]*\}"
_SIMPLE = rf'^\s*\{{[^{{}}]*(?:"(?:{"|".join(_PLACES)})"\s*:\s*{_OBJECT}[^{{}}]*){{0,2}}\}}\s*$'
"""One object, and in it no other objects but those where fields are looked for."""
_TOKEN = r'("[^"]*"|-?[0-9][-+.0-9eE]*|true|false|null)\s*[,}]'
_PLAIN_NAME = re.compile(r"[\w$ -]+", re.ASCII)


def distinct_values(payloads: pl.Series, field: str) -> pl.Series:
    """The text of `field` in each event (JSON text), as UNIQUE counts it; null where the event lacks it."""
    return _of_each(payloads, field, lambda value: None if value is None else as_text(value), pl.String())


def counts(payloads: pl.Series, filters: str) -> pl.Series:
    """Whether each event (JSON text) meets all conditions of a unit's `filters` (JSON list of {field, operator, value}).

    Raises `domain.filters.UnknownOperator`.
    """
    passes = pl.repeat(True, payloads.len(), eager=True)
    for each in json.loads(filters):
        condition = FilterCondition(each["field"], each["operator"], each["value"])
        meets([condition], {})  # an unknown operator is an error without events, too
        passes &= _of_each(payloads, condition.field, _judge(condition), pl.Boolean())
    return passes


def read(payload: str | None) -> Mapping[str, Any]:
    """An event as the door read it: numbers as int or Decimal. No event, or no object, has no fields."""
    event = _DECODER.decode(payload) if payload else None
    return event if isinstance(event, Mapping) else {}


def _judge(condition: FilterCondition) -> Callable[[object], bool]:
    return lambda value: meets([condition], {condition.field: value})


def _of_each(
    payloads: pl.Series, field: str, of_value: Callable[[Any], object], dtype: pl.DataType
) -> pl.Series:
    """`of_value` of the field's value in each payload."""
    frame = _with_token(pl.DataFrame({"payload": payloads}), field)
    tokens = frame["token"].drop_nulls().unique()
    known = pl.DataFrame(
        {
            "token": tokens,
            "found": pl.Series([of_value(_DECODER.decode(token)) for token in tokens], dtype=dtype),
        }
    )
    joined = frame.join(known, on="token", how="left", maintain_order="left")
    hard = joined["token"].is_null()
    slow = [of_value(field_value(read(payload), field)) for payload in payloads.filter(hard)]
    found = joined["found"]
    return found.scatter(hard.arg_true(), pl.Series(slow, dtype=dtype)) if slow else found


def _with_token(frame: pl.DataFrame, field: str) -> pl.DataFrame:
    """Events with `token`, the field's value as it stands in a simple payload (JSON text): "null" where it is absent; null
    where the payload must be read whole. Simple is where nothing can mislead: no escapes, neither the name nor a place twice.
    """
    if not _PLAIN_NAME.fullmatch(field):
        return frame.with_columns(token=pl.lit(None, dtype=pl.String))
    payload, name = pl.col("payload"), re.escape(field)
    once = [payload.str.count_matches(f'"{place}"', literal=True) <= 1 for place in _PLACES]
    escaped = payload.str.contains("\\", literal=True)
    cut = payload.str.extract(rf'"{name}"\s*:\s*{_TOKEN}')
    simple, times = pl.col("simple"), pl.col("times")
    return frame.with_columns(
        simple=pl.all_horizontal(payload.str.contains(_SIMPLE), ~escaped, *once),
        times=payload.str.count_matches(f'"{field}"', literal=True),
        cut=cut,
    ).with_columns(
        token=pl.when(simple & (times == 0)).then(pl.lit("null")).when(simple & (times == 1)).then("cut")
    )


def _exact(text: str) -> Decimal | str:
    """A number with all its digits; one beyond any exponent stays text, as at the door."""
    try:
        return Decimal(text)
    except DecimalException:
        return text


_DECODER = msgspec.json.Decoder(float_hook=_exact)
