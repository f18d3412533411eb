"""The graded verdict: none, low-level, category or within-category, with its reasons."""

from neurodecode.rigour.verdict.grading import LEVELS, TESTS, Grade, grade, grade_on
from neurodecode.rigour.verdict.pictures import Pictures

__all__ = ["LEVELS", "TESTS", "Grade", "Pictures", "grade", "grade_on"]
