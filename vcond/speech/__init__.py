"""Utterances become text: engines, workers, scheduling."""
