"""The signed and the encrypted form of a vCon (JWS and JWE), and the keys for both."""
