"""Splits, controls, intervals and permutation tests: usable on any model's predictions."""
