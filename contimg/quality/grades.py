"""QA grades: good, suspect, bad, with reasons. A product's numbers are checked against limits, in one table a product.

The stage grades from the table and the panel explains from it, so both apply the same limits.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

GRADES = GOOD, SUSPECT, BAD = "good", "suspect", "bad"
REJECTED = "rejected"  # of caltable sets: no product is made


@dataclass(frozen=True)
class QualityGrade:
    """A QA grade, and the reasons where it is not good.

    Attributes
    ----------
    grade : `good`, `suspect` or `bad` (a caltable set: `rejected`); empty before the product is graded.
    reasons : one sentence for each number out of its limits, the worst first.
    """

    grade: str = ""
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Check:
    """One number of a product and its limits; the limits themselves are within.

    Attributes
    ----------
    name : what is checked, in a few words.
    value : the number; None when it was not measured, which is never out of limits. NaN always is.
    reason : the sentence that is given when the number is out of limits.
    low, high : outside of these the product is suspect.
    bad_low, bad_high : outside of these it is bad.
    unit : `fraction`, `Jy/beam`, `count`, or empty for a ratio.
    text, limit_text : the value and its limit in words, where they are no numbers.
    """

    name: str
    value: float | None
    reason: str = ""
    low: float = -math.inf
    high: float = math.inf
    bad_low: float = -math.inf
    bad_high: float = math.inf
    unit: str = ""
    text: str = ""
    limit_text: str = ""

    @property
    def has_limits(self) -> bool:
        """Whether the number is checked at all; others are only shown."""
        return any(map(math.isfinite, (self.low, self.high, self.bad_low, self.bad_high)))

    @property
    def grade(self) -> str | None:
        """`good`, `suspect` or `bad`; None when the number was not measured or has no limits."""
        if self.value is None or not self.has_limits:
            return None
        if not self.bad_low <= self.value <= self.bad_high:
            return BAD
        return GOOD if self.low <= self.value <= self.high else SUSPECT


def grade_checks(checks: Sequence[Check], worst: str = BAD) -> QualityGrade:
    """Grade a product by its checks: the worst grade of any, with the reasons of all that are out of limits.

    Parameters
    ----------
    checks : the product's table of checks.
    worst : what a product with a bad number is called.
    """
    bad, suspect = ([check.reason for check in checks if check.grade == grade] for grade in (BAD, SUSPECT))
    return QualityGrade(worst if bad else SUSPECT if suspect else GOOD, tuple(bad + suspect))
