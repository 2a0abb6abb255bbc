"""The nouns of billing and their arithmetic. Put here: value types and pure rules over single values, standard library only. Keep out: frames, I/O, clocks, frameworks."""
