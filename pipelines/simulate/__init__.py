"""A labelled tenant: normal life with its surprises, planted attacks and faults, written as Azure writes logs."""

from .options import FIRST_DAY, FORMATS, IDENTITIES
from .planting import KINDS
from .run import SimulationSummary, simulate

__all__ = ["FIRST_DAY", "FORMATS", "IDENTITIES", "KINDS", "SimulationSummary", "simulate"]
