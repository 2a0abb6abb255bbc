"""A database of the first release, with data in it, becomes one of this release."""

from __future__ import annotations

import psycopg
from alembic import command
from alembic.config import Config
from sqlalchemy import make_url, text

from storage.database import MIGRATIONS, make_engine, migrate, session_scope
from storage.repositories.audit_trail import verify


def test_audit_entries_of_the_first_release_get_their_place_in_the_chain(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute("CREATE DATABASE first_release")
    url = make_url(database_url).set(database="first_release").render_as_string(hide_password=False)
    engine = make_engine(url)
    config = Config()
    config.set_main_option("script_location", MIGRATIONS.as_posix())
    try:
        with engine.connect() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "0001")
            entry = "INSERT INTO audit_log (tenant_id, actor, action, target_type, target_id, changes) VALUES ('acme', 'operator', 'DONE', 'thing', :id, '{\"a\": {\"after\": 1.50}}')"
            connection.execute(
                text(
                    "INSERT INTO tenants (id, name, currency, time_zone) VALUES ('acme', 'Acme', 'USD', 'UTC')"
                )
            )
            for number in "123":
                connection.execute(text(entry), {"id": number})
            connection.commit()
        migrate(url)
        with session_scope(engine) as session:
            assert (verify(session, "acme").what, verify(session, "acme").entries) == (None, 3)
    finally:
        engine.dispose()
        with psycopg.connect(database_url, autocommit=True) as admin:
            admin.execute("DROP DATABASE first_release WITH (FORCE)")
