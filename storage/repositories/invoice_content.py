"""What an invoice says, as one text. Put here: the canonical form and its hash. Keep out: numbers, states, processing times.

The hash is over the bill itself: the same usage under the same terms gives the same hash whenever, wherever and however
often it is billed. Number and state are given to a bill, they are not part of it. Anyone can recompute it from the stored
rows: the canonical form is JSON with fields in alphabetical order and every value as text, decimals without needless zeros.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from hashlib import sha256
from typing import Any

import polars as pl

from storage.tables.invoices import InvoiceLineRow
from transforms.frames import ROUTED_LINES, SETTLEMENTS

HEADER = tuple(SETTLEMENTS.schema)
"""The fields of an invoice that its content is made of."""
LINE = tuple(
    column.name
    for column in InvoiceLineRow.__table__.columns
    if column.name not in ("tenant_id", "invoice_id")
)
"""The fields of a line."""
LINE_SCHEMA = {name: ROUTED_LINES.schema[name] for name in ("tenant_id", "invoice_id", *LINE)}
INSTANT = "%Y-%m-%dT%H:%M:%S%.6fZ"
_KEY = ["tenant_id", "invoice_id"]


def content_hashes(settlements: pl.DataFrame, lines: pl.DataFrame) -> list[str]:
    """SHA-256 (hex) of each invoice's content, in the settlements' order. settlements: SETTLEMENTS; lines: LINE_SCHEMA."""
    return [sha256(text.encode()).hexdigest() for text in content_texts(settlements, lines)]


def content_texts(settlements: pl.DataFrame, lines: pl.DataFrame) -> list[str]:
    """Each invoice's canonical content, in the settlements' order."""
    in_order = lines.sort(*_KEY, "subscription_id", "line_order", "line_id", nulls_last=False)
    texts = in_order.select(*_KEY, line=_json(LINE, LINE_SCHEMA)).group_by(_KEY, maintain_order=True)
    bills = settlements.select(*_KEY, header=_json(HEADER, SETTLEMENTS.schema)).join(
        texts.agg(pl.col("line").str.join(",")), on=_KEY, how="left", maintain_order="left"
    )
    return [
        f'{{"invoice":{header},"lines":[{line or ""}]}}'
        for header, line in bills.select("header", "line").iter_rows()
    ]


def content_hash(header: Mapping[str, Any], lines: Sequence[Mapping[str, Any]]) -> str:
    """The same for one invoice as stored: its fields (with `invoice_id`) and its lines'."""
    return sha256(content_text(header, lines).encode()).hexdigest()


def content_text(header: Mapping[str, Any], lines: Sequence[Mapping[str, Any]]) -> str:
    """The canonical content of one invoice as stored."""
    settlement = pl.DataFrame([{name: header[name] for name in HEADER}], schema=SETTLEMENTS.schema)
    owner = {name: header[name] for name in _KEY}
    rows = [
        {
            **{name: line.get(name) for name in LINE},
            **owner,
            **{name: structs_of(name, line.get(name)) for name in STRUCTS},
        }
        for line in lines
    ]
    return content_texts(settlement, pl.DataFrame(rows, schema=LINE_SCHEMA))[0]


def structs_json(name: str) -> pl.Expr:
    """The tiers or taxes of a line as JSON text, every value as text; null where there are none."""
    types = STRUCTS[name]
    texts = pl.col(name).cast(pl.List(pl.Struct(dict.fromkeys(types, pl.String))))
    plain = texts.list.eval(
        pl.struct(
            (_shortest(value) if isinstance(types[field], pl.Decimal) else value).alias(field)
            for field in sorted(types)
            for value in (pl.element().struct.field(field),)
        )
    )
    encoded = pl.struct(plain.alias("_")).struct.json_encode()
    return pl.when(pl.col(name).is_not_null()).then(encoded.str.slice(len('{"_":')).str.head(-1))


def structs_of(name: str, stored: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]] | None:
    """The same back from what PostgreSQL stores."""
    if stored is None:
        return None
    types = STRUCTS[name]
    return [{field: _value(types[field], each[field]) for field in types} for each in stored]


def _value(dtype: Any, stored: Any) -> Any:
    if stored is None:
        return None
    if isinstance(dtype, pl.Decimal):
        return Decimal(str(stored))
    return stored in (True, "true") if dtype == pl.Boolean else stored


STRUCTS: dict[str, dict[str, Any]] = {
    name: {field.name: field.dtype for field in ROUTED_LINES.schema[name].inner.fields}  # type: ignore[union-attr]
    for name in ("tiers", "taxes")
}
"""The columns that hold lists of structs, and their fields' types."""
_LATER = ("taxes", "tax_included", "fx_rate", "price_currency")
"""Fields that came with later releases: in the text only where they say something, so that older hashes stay true."""


def _json(names: Sequence[str], schema: Mapping[str, Any]) -> pl.Expr:
    """The named columns as one JSON object, values as text."""
    said = pl.struct(_text(name, schema[name]).alias(name) for name in sorted(names)).struct.json_encode()
    for name in _LATER:
        # Within a value quotes are escaped, so this is the field itself.
        said = said.str.replace(f',"{name}":null', "", literal=True)
    return said


def _text(name: str, dtype: Any) -> pl.Expr:
    if name in STRUCTS:
        return structs_json(name)
    if isinstance(dtype, pl.Decimal):
        return _shortest(pl.col(name).cast(dtype).cast(pl.String))
    if isinstance(dtype, pl.Datetime):
        return pl.col(name).dt.strftime(INSTANT)
    return pl.col(name).cast(pl.String)


def _shortest(number: pl.Expr) -> pl.Expr:
    """A decimal's text without needless zeros. Polars writes all places of the scale, so there is a point to stop at."""
    has_point = number.str.contains(".", literal=True)
    return pl.when(has_point).then(number.str.strip_chars_end("0").str.strip_chars_end(".")).otherwise(number)
