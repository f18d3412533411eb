"""Decode pictures from brain recordings, with the controls a referee asks for."""

__version__ = "0.1.0"
