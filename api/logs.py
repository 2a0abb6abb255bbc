"""What the doors write to their logs. Put here: text or JSON lines, and taking secrets out. Keep out: what is logged (where it happens)."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

TEXT, JSON = "text", "json"
HIDDEN = "…"
_MORE = ("request_id", "trace_id")

_SECRETS = re.compile(
    r"(?P<key>\b(?:sk_live_|sk_test_|afo_|rdr_|whsec_)|\bBearer\s+|\bBasic\s+)[^\s\"'@,;)\]}]+"
    r"|(?P<address>://[^\s:/@]*:)[^\s/@]+(?=@)"
    r"|\beyJ[\w-]+\.[\w-]+\.[\w-]+",
    re.IGNORECASE,
)


def without_secrets(text: str) -> str:
    """The text with keys, tokens, and passwords in addresses hidden."""
    return _SECRETS.sub(lambda match: (match["key"] or match["address"] or "") + HIDDEN, text)


class Plain(logging.Formatter):
    """A line for people; line breaks of messages are shown as such, so that nobody can write lines of their own."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = record.message.replace("\r", "\\r").replace("\n", "\\n")
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        return without_secrets(super().format(record))


class Structured(logging.Formatter):
    """One JSON object a line: time, level, logger, process, message, error with its traceback, and request_id or trace_id if told."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "process": self._process,
            "pid": record.process,
            "message": without_secrets(record.getMessage()),
        }
        line |= {name: getattr(record, name) for name in _MORE if hasattr(record, name)}
        if record.exc_info:
            line["error"] = without_secrets(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False, default=str)


def configure(process: str, env: Mapping[str, str] | None = None) -> None:
    """Send what this process logs to stderr as AFORO_LOG_FORMAT (text or json) and AFORO_LOG_LEVEL (WARNING) say. Raises ValueError."""
    found = os.environ if env is None else env
    form = found.get("AFORO_LOG_FORMAT", TEXT)
    if form not in (TEXT, JSON):
        raise ValueError(f"AFORO_LOG_FORMAT: {form!r} is neither text nor json")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Structured(process) if form == JSON else Plain())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(found.get("AFORO_LOG_LEVEL", "WARNING").upper())
