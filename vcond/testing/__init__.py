"""For adapter authors: fakes and the conformance suite."""
