"""Who may do what with what is recorded. Rules over plain values: no PBX, no sockets, no clock, no events."""
