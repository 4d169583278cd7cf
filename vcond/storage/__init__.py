"""The one door to the disk: whatever vcond keeps of calls is written and read by what is in here, and handed in."""
