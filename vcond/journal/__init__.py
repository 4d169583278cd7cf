"""A call on disk: events and one audio track a party. What is in here is not lost."""
