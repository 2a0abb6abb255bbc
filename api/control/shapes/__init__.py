"""What answers look like, for the API reference. Put here: one class per kind of answer. Keep out: making answers (each noun's routes)."""
