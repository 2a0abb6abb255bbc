"""Small worlds on a movable clock, through the same code as production. Keep out: rules, and anything production would need."""
