"""Receivers that vcond brings itself."""
