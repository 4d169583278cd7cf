"""Audio: codecs, clocks, placement on the call's clock, levels, segmenting. Pure."""
