"""A labelled tenant: normal life with its surprises, planted attacks and faults, written as Azure writes logs."""

from .planting import KINDS
from .run import FIRST_DAY, SimulationSummary, simulate

__all__ = ["FIRST_DAY", "KINDS", "SimulationSummary", "simulate"]
