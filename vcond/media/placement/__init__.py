"""Where audio belongs on the clock of the call: source clocks, reordering, runs, the timeline."""
