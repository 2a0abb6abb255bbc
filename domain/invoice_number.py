"""Numbers of invoices. Put here: the format of an issuer's numbers and how one is made. Keep out: sequences (storage).

A number must say one invoice for ever, whatever its issuer's format was or becomes. So a format is prefix, year and sequence in
this order with separators between: read from the right, such a number has only one prefix, year and sequence.
"""

from __future__ import annotations

import re

DEFAULT_FORMAT = "{prefix}-{year}-{seq:0000}"
_FORMAT = re.compile(r"\{prefix\}([-/._ ]+)\{year\}([-/._ ]+)\{seq(?::(0{1,12}))?\}")
_PREFIX = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._:-]{0,30}[A-Za-z0-9])?")


def format_problem(number_format: str) -> str | None:
    """What is wrong with a format and what would be right; None: nothing."""
    if "{seq" not in number_format:
        return f"{number_format!r} has no sequence; write it like {DEFAULT_FORMAT!r}"
    if _FORMAT.fullmatch(number_format) is None:
        right = "{prefix}, {year} and {seq:0000} in this order, with separators (- / . _) between them"
        return f"{number_format!r} could make the same number twice; use {right}"
    return None


def prefix_problem(prefix: str) -> str | None:
    """What is wrong with a prefix and what would be right; None: nothing."""
    if _PREFIX.fullmatch(prefix) is None:
        right = "letters, digits and . _ : - only, at most 32, a letter or digit first and last"
        return f"{prefix!r} cannot start an invoice number; use {right}"
    return None


def invoice_number(number_format: str, prefix: str, year: int, sequence: int) -> str:
    """The number: ("{prefix}-{year}-{seq:0000}", "US", 2026, 1) is US-2026-0001. A longer sequence is written in full."""
    match = _FORMAT.fullmatch(number_format)
    assert match is not None, number_format
    after_prefix, after_year, zeros = match.groups()
    return f"{prefix}{after_prefix}{year}{after_year}{sequence:0{len(zeros or '0')}d}"
