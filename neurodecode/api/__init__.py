"""Use what was trained, from Python: load a run, apply it to new recordings, fit one's own."""
