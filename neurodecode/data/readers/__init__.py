"""One file per kind of signal file."""
