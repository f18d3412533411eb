"""Maps between subjects' response spaces."""
