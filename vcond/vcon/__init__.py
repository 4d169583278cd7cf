"""The record: build, validate, serialise. Pure."""
