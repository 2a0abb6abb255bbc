"""The lineage, one thin file per asset: key, partitions, one call to a transform. Keep out: SQL, row loops, rules."""
