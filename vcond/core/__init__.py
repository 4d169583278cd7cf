"""The core's side of the contract: desk, live calls, finishing, recovery."""
