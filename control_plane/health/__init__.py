"""How each part of the control plane is: one check a question, with its figures and what to do where it is not well."""

from control_plane.health.check import Check
from control_plane.health.report import report

__all__ = ["Check", "report"]
