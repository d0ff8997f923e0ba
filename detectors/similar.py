"""Which earlier incidents resemble one: the same kind of trouble, the same place, the same caller, the same reasons."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

#: weights of what two incidents can share; reasons weigh most, since they are what was measured
_WEIGHTS: Final = {"kind": 0.3, "functions": 0.2, "callers": 0.1, "reasons": 0.4}


def similarity(a: Mapping[str, Any], b: Mapping[str, Any]) -> float:
    """How much two incidents resemble each other, from 0 (nothing shared) to 1.

    A weighted sum of: the same kind, shared functions and callers (Jaccard index), and the cosine of the shares that
    each feature has in the score.

    Example:
        >>> one = {"kind": "silence", "functions": ["Poll"], "callers": [], "reasons": []}
        >>> round(similarity(one, one), 3), similarity(one, {"kind": "other"})
        (0.5, 0.0)
    """
    parts = {
        "kind": float(a.get("kind") == b.get("kind") and bool(a.get("kind"))),
        "functions": _jaccard(a.get("functions"), b.get("functions")),
        "callers": _jaccard(a.get("callers"), b.get("callers")),
        "reasons": _cosine(_shares(a), _shares(b)),
    }
    return sum(_WEIGHTS[name] * part for name, part in parts.items())


def similar_incidents(
    incident: Mapping[str, Any], others: Iterable[Mapping[str, Any]], limit: int = 5
) -> list[tuple[float, Mapping[str, Any]]]:
    """The incidents most like one, with their similarity, most similar first; itself left out."""
    mine = incident.get("incident_id")
    found = [(similarity(incident, other), other) for other in others if other.get("incident_id") != mine]
    return sorted(found, key=lambda pair: (-pair[0], str(pair[1].get("incident_id"))))[:limit]


def _shares(incident: Mapping[str, Any]) -> dict[str, float]:
    return {str(r["feature"]): float(r.get("share") or 0.0) for r in incident.get("reasons") or ()}


def _jaccard(a: Iterable[str] | None, b: Iterable[str] | None) -> float:
    left, right = set(a or ()), set(b or ())
    return len(left & right) / len(left | right) if left | right else 0.0


def _cosine(a: Mapping[str, float], b: Mapping[str, float]) -> float:
    size = math.sqrt(sum(v * v for v in a.values()) * sum(v * v for v in b.values()))
    return sum(v * b.get(name, 0.0) for name, v in a.items()) / size if size > 0.0 else 0.0
