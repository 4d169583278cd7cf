"""The finders that vcond brings. Each is registered in ``vcond.finders`` as those of third parties are."""
