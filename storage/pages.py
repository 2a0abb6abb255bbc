"""Small pages that stand alone. Put here: a page and a table in HTML. Keep out: what they tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

_STYLE = (
    "body{font:14px system-ui;margin:2rem;color:#1c2330}h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}"
    "table{border-collapse:collapse}td,th{border:1px solid #d5dae3;padding:.3rem .6rem;text-align:left;vertical-align:top}"
    "th{background:#f3f5f9}td.n{text-align:right;font-variant-numeric:tabular-nums}p.note{color:#5b6472}"
)


def page(title: str, note: str, *sections: tuple[str, str]) -> str:
    """A page of (heading, HTML) sections. title and note are text."""
    body = "".join(f"<h2>{escape(heading)}</h2>{content}" for heading, content in sections)
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{escape(title)}</title><style>{_STYLE}</style>"
        f"<h1>{escape(title)}</h1><p class='note'>{escape(note)}</p>{body}</html>"
    )


def table(rows: Sequence[Mapping[str, Any]], numbers: Sequence[str] = ()) -> str:
    """Rows of equal keys as a table; no rows say so. numbers: the columns set to the right."""
    if not rows:
        return "<p>None.</p>"
    head = "".join(f"<th>{escape(name)}</th>" for name in rows[0])
    cells = (
        "".join(
            f"<td{' class=n' if name in numbers else ''}>{escape('' if value is None else str(value))}</td>"
            for name, value in row.items()
        )
        for row in rows
    )
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{row}</tr>' for row in cells)}</table>"
