"""What is secret in a conversation, and how it is found. Pure: text and digits in, places out."""
