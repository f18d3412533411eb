"""How studies lie on disk: each layout finds the runs, their files and their events."""
