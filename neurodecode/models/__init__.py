"""Brain networks and the ridge baseline, one file per network."""
