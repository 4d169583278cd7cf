"""The conversation: what can happen to a call (events) and what it is (a fold over them). Pure."""
