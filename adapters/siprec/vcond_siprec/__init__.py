"""SIPREC: calls that session border controllers and proxies send to be recorded (RFC 7865, RFC 7866)."""
