"""The typed SQLAlchemy models, a file per noun. Keep out: queries."""
