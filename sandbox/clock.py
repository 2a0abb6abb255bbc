"""The clock of a scratch database. Put here: making `now()` movable in it. Keep out: what happens when (play.py).

Services take their time as an argument; what the database itself stamps (`now()` in queries and in defaults of columns) comes
from a table here, because the schema `clock` stands before PostgreSQL's own functions. So production's SQL runs unchanged.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Engine, text

INSTALL = """
CREATE SCHEMA clock;
CREATE TABLE clock.instant (at timestamptz NOT NULL);
INSERT INTO clock.instant VALUES (pg_catalog.now());
CREATE FUNCTION clock.now() RETURNS timestamptz LANGUAGE sql STABLE SECURITY DEFINER
    AS 'SELECT at FROM clock.instant';
GRANT USAGE ON SCHEMA clock TO PUBLIC;
DO $$
DECLARE stamped record;
BEGIN
    FOR stamped IN
        SELECT table_name, column_name FROM information_schema.columns
        WHERE table_schema = 'public' AND column_default = 'now()'
    LOOP
        EXECUTE format('ALTER TABLE public.%I ALTER COLUMN %I SET DEFAULT clock.now()',
                       stamped.table_name, stamped.column_name);
    END LOOP;
END $$;
"""
SEARCH_PATH = "clock, public, pg_catalog"
"""Of every connection to such a database: `now()` is found in `clock` first."""


def set_clock(engine: Engine, at: datetime) -> None:
    """Let it be `at` for every transaction that begins from now on."""
    with engine.begin() as connection:
        connection.execute(text("UPDATE clock.instant SET at = :at"), {"at": at})
