"""What is in the sound: talk spurts, music, tones."""
