"""Organization settings. Put here: reading and changing a tenant's own. Keep out: what uses them, HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.dialects.postgresql import insert

from domain.catalog.fields import Fields
from domain.organization import Defaults, OrganizationSettings, read_settings, written_settings
from storage.services.differences import differences, no_expectation
from storage.services.sent import merged
from storage.tables.tenants import OrganizationSettingsRow, TenantRow
from storage.tenancy import Tx

_OF_TENANT = ("defaultCurrency", "timeZone")
_GROUPS = ("profile", "retentionPolicies", "theme", "terms", "corrections")


@dataclass(frozen=True, slots=True)
class CurrentSettings:
    """The settings as they are, and since when. updated_at None: never changed."""

    settings: OrganizationSettings
    revision: int
    updated_at: datetime | None


class Organization:
    """One tenant's settings."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx

    def get(self) -> CurrentSettings:
        """What was set, and for the rest what is usual."""
        row = self._tx.session.get(OrganizationSettingsRow, self._tx.tenant_id)
        tenant = self._tenant()
        if row is None:
            return CurrentSettings(_settings({}, tenant), 1, None)
        return CurrentSettings(_settings(row.settings, tenant), row.revision, row.updated_at)

    def edit(
        self, sent: Mapping[str, Any], expect: Callable[[str, int], None] = no_expectation
    ) -> CurrentSettings:
        """Change the fields sent, within a group the fields of the group sent; null sets what is usual.

        Raises StaleEdit, FieldProblem.
        """
        row, tenant = self._locked(), self._tenant(lock=True)
        expect("organization settings", row.revision)
        before = _settings(row.settings, tenant)
        written = written_settings(before)
        body = merged(written, sent, {"cogsRates": "aiProviderRates"})
        for name in _GROUPS:
            if isinstance(body.get(name), Mapping):
                body[name] = {**written[name], **body[name]}
        after = read_settings(Fields(body, ""), Defaults(tenant.currency, tenant.time_zone))
        changes = differences(written, written_settings(after))
        if changes:
            tenant.currency, tenant.time_zone = after.currency, after.time_zone
            stored = written_settings(after)
            row.settings = {name: value for name, value in stored.items() if name not in _OF_TENANT}
            row.revision += 1
            row.updated_at = self._tx.at
            self._tx.session.flush()
            self._tx.record(
                "ORGANIZATION_SETTINGS_UPDATED", "organization_settings", self._tx.tenant_id, changes
            )
        return CurrentSettings(after, row.revision, row.updated_at)

    def _tenant(self, *, lock: bool = False) -> TenantRow:
        mode = {"key_share": True} if lock else False
        found = self._tx.session.get(
            TenantRow, self._tx.tenant_id, with_for_update=mode, populate_existing=lock
        )
        assert found is not None, "the door let an unknown tenant in"
        return found

    def _locked(self) -> OrganizationSettingsRow:
        new = insert(OrganizationSettingsRow).values(
            tenant_id=self._tx.tenant_id, settings={}, created_at=self._tx.at, updated_at=self._tx.at
        )
        self._tx.session.execute(new.on_conflict_do_nothing())
        key = self._tx.tenant_id
        row = self._tx.session.get(OrganizationSettingsRow, key, with_for_update=True, populate_existing=True)
        assert row is not None
        return row


def _settings(stored: Mapping[str, Any], tenant: TenantRow) -> OrganizationSettings:
    return read_settings(Fields(stored, ""), Defaults(tenant.currency, tenant.time_zone))
