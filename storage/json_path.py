"""JSONPath (RFC 9535). Put here: compiling paths, asking them. Keep out: what is looked for."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from jsonpath import JSONPath, JSONPathEnvironment
from jsonpath.exceptions import JSONPathError

_ENVIRONMENT = JSONPathEnvironment(strict=True)
_MOST = 10_000


class NotAPath(ValueError):
    """The text is no JSONPath; the message says where it goes wrong."""


@lru_cache(maxsize=2_000)
def compiled_path(text: str) -> JSONPath:
    """Raises NotAPath."""
    try:
        compiled = _ENVIRONMENT.compile(text)
    except (JSONPathError, RecursionError, ValueError) as error:
        raise NotAPath(str(error).splitlines()[0]) from None
    assert isinstance(compiled, JSONPath)
    return compiled


def first_at(text: str, document: Any) -> Any:
    """The first value the path leads to, None if there is none. Raises NotAPath."""
    try:
        for number, found in enumerate(compiled_path(text).finditer(document)):
            if found.obj is not None or number >= _MOST:
                return found.obj
    except (JSONPathError, RecursionError) as error:
        raise NotAPath(str(error).splitlines()[0]) from None
    return None
