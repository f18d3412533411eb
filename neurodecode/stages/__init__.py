"""The whole story: one file per stage, each loads inputs, calls the numerics, saves outputs."""
