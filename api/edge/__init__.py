"""The real-time door: ingest, meter, canAccess. Put here: what must answer in milliseconds.

Keep out: anything that imports frames, Dagster or SQLAlchemy.
"""
