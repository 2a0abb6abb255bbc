"""Row-level security for tenants' tables. Put here: what a migration calls for each new one. Keep out: tables.

The second lock: a tenant's transaction (storage.tenancy) runs as the role `aforo_tenant`, which sees and writes the rows of the
tenant it named and no others, whatever the query forgot to say. The owner of the tables (migrations, pipeline, command line)
works on all tenants and is let through by a policy of its own.
"""

from __future__ import annotations

from alembic import op

ROLE = "aforo_tenant"
ALL_RIGHTS = "SELECT, INSERT, UPDATE, DELETE"

# A role belongs to the whole server, so another database's migration may make it at the same moment.
_MAKE_ROLE = f"""
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{ROLE}') THEN
        BEGIN
            CREATE ROLE {ROLE} NOLOGIN;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE EXCEPTION 'the role {ROLE} is missing and % may not create roles', current_user
                    USING HINT = format('Ask an administrator to run: CREATE ROLE {ROLE} NOLOGIN; GRANT {ROLE} TO %I;', current_user);
        END;
    END IF;
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        BEGIN
            EXECUTE format('GRANT {ROLE} TO %I', current_user);
        EXCEPTION WHEN insufficient_privilege THEN
            IF NOT pg_has_role(current_user, '{ROLE}', 'MEMBER') THEN
                RAISE EXCEPTION '% may not act as the role {ROLE}', current_user
                    USING HINT = format('Ask an administrator to run: GRANT {ROLE} TO %I;', current_user);
            END IF;
        END;
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO {ROLE}', current_schema());
END $$
"""


def make_role() -> None:
    """Make the role tenants' transactions run as, and let the present user take it. Harmless to repeat."""
    op.execute(_MAKE_ROLE)


def protect(*tables: str, rights: str = ALL_RIGHTS, column: str = "tenant_id") -> None:
    """Let a tenant's transaction see and write its own rows of these tables only; the tables' owner keeps seeing all.

    rights: what it may do to them at all. column: says whose a row is.
    """
    for table in tables:
        op.execute(f"GRANT {rights} ON {table} TO {ROLE}")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant ON {table} TO {ROLE} USING ({column} = current_setting('aforo.tenant', true))"
        )
        # For the owner alone, not for PUBLIC: an OR in the tenants' condition would keep it from using indexes.
        op.execute(f"CREATE POLICY owner ON {table} TO CURRENT_USER USING (true)")
