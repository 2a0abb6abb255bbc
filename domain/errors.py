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


class NotFound(PermanentFailure):
    """There is no such thing, or it is another tenant's: nobody is told which."""


class Conflict(PermanentFailure):
    """What is asked for is well-formed, but not possible as things stand."""


class BadRequest(PermanentFailure):
    """The request itself cannot be understood or does not fit what is set up, whatever its fields say."""


class Forbidden(PermanentFailure):
    """Whoever asks may not do this."""

    code = "FORBIDDEN"


class StaleEdit(PermanentFailure):
    """The thing was changed by someone else since the caller read it."""

    code = "STALE_EDIT"

    def __init__(self, what: str, sent: str, current: str) -> None:
        super().__init__(
            f"{what}: If-Match {sent} is not its current ETag {current}; read it again and repeat the edit"
        )
