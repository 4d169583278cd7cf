"""The daemon: what wires the rooms together, and the plug-ins that the configuration names."""
