"""The graded verdict: none, low-level, category or within-category, with its reasons."""

from neurodecode.rigour.verdict.grading import LEVELS, Grade, grade

__all__ = ["LEVELS", "Grade", "grade"]
