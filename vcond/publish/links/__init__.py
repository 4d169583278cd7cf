"""The links that vcond brings."""
