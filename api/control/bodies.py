"""Bodies of requests. Put here: what all bodies share. Keep out: any one noun's fields; rules (the domain's readers have them)."""

from __future__ import annotations

import re
from typing import Annotated, Any, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ModelWrapValidatorHandler,
    PrivateAttr,
    model_validator,
)
from pydantic.alias_generators import to_camel

_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:.*")


def _written_out(sent: Any) -> Any:
    if not isinstance(sent, str) or not _INSTANT.fullmatch(sent):
        raise ValueError("is not an instant; write it like 2026-01-31T00:00:00Z")
    return sent


Instant = Annotated[AwareDatetime, BeforeValidator(_written_out)]
"""An RFC 3339 instant with its offset; never a bare number, which could be seconds or milliseconds."""


class Body(BaseModel):
    """A body: documents the fields and their shapes. Fields it does not know are kept, for the domain's reader to complain
    about them by name; numbers are int or Decimal."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="allow")

    _as_sent: dict[str, Any] = PrivateAttr(default_factory=dict)

    @model_validator(mode="wrap")
    @classmethod
    def _keep(cls, sent: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(
            sent, dict | cls
        ):  # a Decimal has attributes, and might pass for a body without fields
            raise ValueError("is not an object; send fields and values")
        body = handler(sent)
        if isinstance(sent, dict):
            body._as_sent = sent
        return body

    def sent(self) -> dict[str, Any]:
        """The fields that were sent, as they were sent, under the names they were sent by."""
        return dict(self._as_sent)
