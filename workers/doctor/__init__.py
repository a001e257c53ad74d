"""A machine looked at before and after a deployment: each finding is ok, a warning or an error, with its remedy."""

from workers.doctor.examination import examine
from workers.doctor.finding import Finding, Level

__all__ = ["Finding", "Level", "examine"]
