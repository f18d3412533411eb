"""Drawing out: figures, tables and one self-contained page; computes nothing."""
