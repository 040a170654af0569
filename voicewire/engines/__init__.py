"""Speech engines behind one interface: `base` defines it, every other file implements it."""
