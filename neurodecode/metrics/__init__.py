"""Scores, one file per family: higher is better unless the name says distance."""
