"""Homework: check files with holes, and their grading on hidden cases."""

from lora_proofs.homework.grade import Grade, GradeError, grade
from lora_proofs.homework.hole import AnswerError, hole

__all__ = ["AnswerError", "Grade", "GradeError", "grade", "hole"]


def __dir__() -> list[str]:
    return __all__
