"""RTP (RFC 3550): packets, sequences, sources, RTCP, DTMF events (RFC 4733), and the ports that receive it."""
