"""Secrets at rest. Put here: sealing what must be readable again (gateway keys, webhook secrets). Keep out: what is only
compared (keys are hashed), whose secrets they are.

AES-256-GCM under the installation's key, `secrets/sealing_key` of the data folder. Tenant and column are authenticated with
each secret, so a sealed value moved to another row's tenant or column does not open.
"""

from __future__ import annotations

import base64
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from domain.errors import PermanentFailure
from storage.secret_files import sealing_key

_VERSION = "v1."
_NONCE = 12


class CannotOpen(PermanentFailure):
    """A sealed secret was tampered with, moved, or sealed under another key."""

    code = "SECRET_CANNOT_BE_OPENED"

    def __init__(self, tenant_id: str, column: str) -> None:
        super().__init__(
            f"{column} of tenant {tenant_id} cannot be opened; if the data folder was moved, bring secrets/sealing_key along, "
            "otherwise enter the secret again"
        )


class Seal:
    """Seals and opens short texts. key: 32 bytes."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    @classmethod
    def of(cls, home: Path) -> Seal:
        """The installation's seal; its key is made on first use."""
        return cls(sealing_key(home))

    def seal(self, secret: str, *, tenant_id: str, column: str) -> str:
        """The secret as text that only `open` with the same key, tenant and column turns back. column: `table.column`."""
        nonce = secrets.token_bytes(_NONCE)
        sealed = self._cipher.encrypt(nonce, secret.encode(), _bound(tenant_id, column))
        return _VERSION + base64.b64encode(nonce + sealed).decode()

    def open(self, sealed: str, *, tenant_id: str, column: str) -> str:
        """The secret. Raises CannotOpen."""
        try:
            raw = base64.b64decode(sealed.removeprefix(_VERSION), validate=True)
            return self._cipher.decrypt(raw[:_NONCE], raw[_NONCE:], _bound(tenant_id, column)).decode()
        except (InvalidTag, ValueError):
            raise CannotOpen(tenant_id, column) from None


def _bound(tenant_id: str, column: str) -> bytes:
    return f"{tenant_id}\0{column}".encode()
