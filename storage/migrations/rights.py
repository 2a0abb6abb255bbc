"""Watching tables for changes of rights, in migrations. Put here: the triggers behind the rights outbox. Keep out: publishing.

A watched table writes what changed to `rights_outbox` in the transaction of the change, whoever makes it, so nothing can be
committed without being published later. Triggers fire once a statement and list each target once; a statement that changes
thousands of rows asks for the whole tenant instead.
"""

from __future__ import annotations

from alembic import op

CHANNEL = "aforo_rights"
_MOST = 2000
_FUNCTION = f"""
CREATE OR REPLACE FUNCTION aforo_rights_changed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT AS $$
DECLARE
    kind text := TG_ARGV[0];
    target text := CASE WHEN TG_ARGV[2] = '' THEN 'NULL::text' ELSE format('%I::text', TG_ARGV[2]) END;
    written bigint;
    is_many boolean;
BEGIN
    SELECT count(*) > {_MOST} INTO is_many FROM (SELECT FROM changed_rows LIMIT {_MOST} + 1) first_rows;
    EXECUTE format(
        'INSERT INTO rights_outbox (tenant_id, kind, target)
         SELECT DISTINCT tenant, CASE WHEN rows > {_MOST} THEN ''TENANT'' ELSE $1 END,
                CASE WHEN rows > {_MOST} THEN NULL ELSE target END
         FROM (SELECT %1$I AS tenant, %2$s AS target, count(*) OVER (PARTITION BY %1$I) AS rows
               FROM changed_rows) listed
         WHERE target IS NOT NULL OR %3$L', TG_ARGV[1], target, TG_ARGV[2] = '') USING kind;
    GET DIAGNOSTICS written = ROW_COUNT;
    IF written > 0 THEN
        PERFORM pg_notify('{CHANNEL}', CASE WHEN is_many THEN '' WHEN kind IN ('OFFERING', 'TENANT') THEN 'LARGE' ELSE 'SMALL' END);
    END IF;
    RETURN NULL;
END $$
"""


def install() -> None:
    """Make (or renew) the function behind the triggers."""
    op.execute(_FUNCTION)


def watch(table: str, kind: str, target: str = "", *, tenant: str = "tenant_id") -> None:
    """Publish rights whenever the table changes.

    kind: what must be published: TENANT (all of it), UNITS, OFFERING, CUSTOMER, ACCESSOR, KEY or SOURCE. target: the column that
    says which offering, customer, accessor, key or webhook source; rows where it is NULL are passed by. tenant: the column of the tenant.
    """
    for event, rows in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")):
        op.execute(
            f"CREATE TRIGGER aforo_rights_{kind.lower()}_{event.lower()} AFTER {event} ON {table} "
            f"REFERENCING {rows} TABLE AS changed_rows FOR EACH STATEMENT "
            f"EXECUTE FUNCTION aforo_rights_changed('{kind}', '{tenant}', '{target}')"
        )
