"""Where things are kept: PostgreSQL, the event log, hot state, the lake. Put here: every query and every write. Keep out: business rules."""
