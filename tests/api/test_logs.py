"""Logs: one line each, as text or JSON, without secrets."""

from __future__ import annotations

import json
import logging
import subprocess
import sys

import pytest

from api.logs import Plain, Structured, configure, without_secrets

TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"


def logged(formatter: logging.Formatter, message: str, *arguments: object, error: bool = False) -> str:
    info = None
    if error:
        try:
            raise ValueError("redis://:hunter2secret@127.0.0.1:6379 is gone")
        except ValueError:
            info = sys.exc_info()
    record = logging.LogRecord("api.edge", logging.ERROR, __file__, 1, message, arguments, info)
    record.request_id = "req-1"
    return formatter.format(record)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("key sk_live_abcDEF0123456789 refused", "key sk_live_… refused"),
        ("sk_test_abc-def_1", "sk_test_…"),
        ("operator afo_abcdef0123", "operator afo_…"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer …"),
        (f"token {TOKEN} expired", "token … expired"),
        ("postgresql://aforo:pa55@db/aforo", "postgresql://aforo:…@db/aforo"),
        ("redis://:pa55@127.0.0.1:6379/0", "redis://:…@127.0.0.1:6379/0"),
        ("signed with whsec_012345", "signed with whsec_…"),
        ("http://127.0.0.1:8787/v1/meter", "http://127.0.0.1:8787/v1/meter"),
        ("nothing secret: 42", "nothing secret: 42"),
    ],
)
def test_secrets_are_hidden(said: str, kept: str) -> None:
    assert without_secrets(said) == kept
    assert json.loads(logged(Structured("edge"), "%s", said))["message"] == kept
    assert kept in logged(Plain(), "%s", said)


def test_a_structured_line_is_json_with_the_error_and_the_request() -> None:
    line = logged(Structured("edge"), "it failed: %s", "a\nb", error=True)
    assert "\n" not in line
    told = json.loads(line)
    assert (told["level"], told["process"], told["message"], told["request_id"]) == (
        "ERROR", "edge", "it failed: a\nb", "req-1",
    )  # fmt: skip
    assert "ValueError" in told["error"] and "hunter2secret" not in line
    assert told["time"].endswith("+00:00")


def test_nobody_can_write_a_line_of_their_own() -> None:
    line = logged(Plain(), "no such tenant: %s", "x\n2026-01-01 ERROR root: forged\r")
    assert line.count("\n") == 0 and "\r" not in line


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(ValueError, match="AFORO_LOG_FORMAT"):
        configure("edge", {"AFORO_LOG_FORMAT": "xml"})


def test_a_process_logs_as_its_environment_says() -> None:
    script = "from api import logs; import logging; logs.configure('edge', {'AFORO_LOG_FORMAT': 'json'}); logging.warning('hello')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stderr)["message"] == "hello"
