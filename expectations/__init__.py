"""The gates: Great Expectations suites, one per asset, and what runs them. Keep out: Dagster, storage."""
