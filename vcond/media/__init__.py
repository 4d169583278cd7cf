"""Audio: codecs, clocks, placement on the call's clock, segmenting. Pure."""
