"""What is in the sound: levels, talk spurts, music, tones."""
