"""Utterances that other machines transcribe: jobs in a JetStream work queue, answers that come back."""
