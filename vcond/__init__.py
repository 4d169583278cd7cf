"""vcond: live calls become vCons, on the edge."""

__version__ = "0.1.0"
