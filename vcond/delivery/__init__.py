"""The outbox: a finished vCon reaches every sink, or says why not."""
