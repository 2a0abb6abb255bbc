"""The two kinds of failure. Put here: the two bases. Keep out: concrete errors (they live beside what raises them)."""

from __future__ import annotations


class AforoError(Exception):
    """Base of every named failure; `code` is stable and machine-readable, the message is for people."""

    code = "ERROR"


class PermanentFailure(AforoError):
    """Trying again will not help: the input, the terms or the code must change first."""

    code = "PERMANENT_FAILURE"


class TransientFailure(AforoError):
    """Trying again may help: something outside was not there in time."""

    code = "TRANSIENT_FAILURE"
