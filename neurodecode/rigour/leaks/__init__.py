"""What test rows share with training that they should not: pictures, time, state."""
