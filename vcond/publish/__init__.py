"""From an ended call to the outbox: the vCon is built, checked, published, and amended when texts come late."""
