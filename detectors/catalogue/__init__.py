"""The kinds of findings: what each is called, how it is known, how bad it is, and what to do about it.

To add a kind:

1. Write a ``Kind`` into the module of its group (``callers``, ``attacks``, ``load``, ``faults``, ``presence``), with an
   ``example`` of evidence. Its ``fits`` reads ``Signs``: shares of the score by group of features, counts and ratios.
   Its title and summary are made of phrases (``detectors.phrases``); a new phrase is a method there. Say a number in
   the summary.
2. Put it into ``KINDS`` below, before every kind that is more general: the first that fits is it.
3. Run ``python -m detectors.catalogue.document docs/findings.md`` and commit the page.

The tests hold each example to its kind, titles to their length and sentences to plain words.
"""

from __future__ import annotations

from typing import Final

from detectors.catalogue import attacks, callers, faults, load, presence
from detectors.catalogue.kind import Kind, Signs
from detectors.evidence import Evidence

#: the specific before the general
KINDS: Final[tuple[Kind, ...]] = (
    presence.SURPLUS_DOWNSTREAM,
    presence.SILENCE_DOWNSTREAM,
    presence.SILENCE_APP,
    presence.SILENCE,
    presence.FEWER_CALLS,
    presence.MANUAL_RUN,
    presence.OFF_SCHEDULE,
    presence.NEW_FUNCTION,
    attacks.QUEUE_INJECTION,
    attacks.INJECTION_PROBE,
    callers.IMPOSSIBLE_TRAVEL,
    callers.LATERAL_MOVEMENT,
    faults.CLIENT_REFUSED,
    attacks.CREDENTIAL_GUESSING,
    faults.MALFORMED_CALLS,
    faults.REFUSED_CALLS,
    attacks.ENUMERATION,
    load.RETRY_STORM,
    load.DISTRIBUTED_FLOOD,
    callers.EXFILTRATION,
    load.DENIAL_OF_WALLET,
    load.FLOOD,
    callers.NEW_COUNTRY,
    callers.OFF_HOURS,
    callers.UNUSUAL_PACE,
    load.SLOW_GROWTH,
    faults.BAD_DEPLOYMENT,
    faults.STORM,
    faults.POISON_MESSAGE,
    faults.RUNAWAY_DURATION,
    faults.FAILURE_BURST,
    faults.FASTER_THAN_USUAL,
    callers.NEW_CALLER,
    faults.LATENCY_SHIFT,
    presence.UNUSUAL,
)

BY_ID: Final = {kind.id: kind for kind in KINDS}


def classify(evidence: Evidence) -> Kind:
    """The kind of an incident: the first in ``KINDS`` that fits; ``unusual`` fits all."""
    signs = Signs(evidence)
    return next(kind for kind in KINDS if kind.fits(signs))


__all__ = ["BY_ID", "KINDS", "Kind", "Signs", "classify"]
