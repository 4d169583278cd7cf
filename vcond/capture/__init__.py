"""Calls while they last: the registry of all, each live call with its tracks, what adapters are handed, recovery."""
