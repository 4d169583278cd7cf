"""For adapter authors: a desk in memory, time that jumps, a rig to fill in, and the suite that every adapter passes."""
