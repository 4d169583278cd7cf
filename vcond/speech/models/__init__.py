"""Speech models: which are known, how they are fetched, unpacked, kept and verified."""
