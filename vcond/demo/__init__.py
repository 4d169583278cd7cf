"""The spoken demo call."""
