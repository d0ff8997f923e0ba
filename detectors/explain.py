"""An incident in plain words: what it is, how bad, why, what it costs and what to do."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Final

from detectors.blind_spots import Coverage, blind_spots
from detectors.catalogue import Kind, Signs, classify
from detectors.catalogue.kind import finite
from detectors.cost import PRICES, Prices, cost
from detectors.evidence import Evidence, Missing, Silence
from detectors.features import FEATURES
from detectors.phrases import Phrases
from detectors.reasons import TOPICS, is_news, reason_text
from detectors.wording import number, plural, shorten, span

#: characters of a title: a subject line
TITLE: Final = 90
#: reasons told
REASONS: Final = 6
#: shares below this say nothing
_LEAST_SHARE: Final = 0.01
_HOUR_US: Final = 3_600_000_000
_FEATURES: Final = {feature.name: feature for feature in FEATURES}


def describe(evidence: Evidence, *, prices: Prices = PRICES) -> dict[str, Any]:
    """What a person reads about an incident; plain data, ready for JSON.

    Returns:
        kind, title (at most 90 characters), summary (one sentence with numbers), severity, attack, runbook, reasons;
        and cost where the kind runs up a bill: {gb_seconds: [least, most], usd: [least, most]}.
    """
    kind = classify(evidence)
    if kind.long_runs and evidence.long_at:
        first = {where: place for place, where in enumerate(evidence.long_at)}
        named = sorted(evidence.functions, key=lambda one: first.get(one[:2], len(first)))
        evidence = replace(evidence, functions=tuple(named))
    phrases = Phrases(evidence, prices)
    out: dict[str, Any] = {
        "kind": kind.id,
        "title": shorten(kind.title.format_map(phrases), TITLE),
        "summary": kind.summary.format_map(phrases),
        "severity": kind.severity(Signs(evidence)),
        "attack": list(kind.attack),
        "runbook": list(kind.runbook),
        "reasons": reasons(evidence),
    }
    if kind.costs and evidence.run_seconds > 0.0:
        spent = cost(evidence.run_seconds, evidence.invocations, prices)
        out["cost"] = {"gb_seconds": list(spent.gb_seconds), "usd": list(spent.usd)}
    return out


def reasons(evidence: Evidence) -> list[dict[str, Any]]:
    """The features by share of the score, largest first: {feature, words, value, typical, unit, share, text}.

    Features that would say the same twice are told once, by the one with the largest share, and with their shares
    together. What is no news is told only where there is nothing else.
    """
    if evidence.missing is not None and not evidence.invocations:
        return [_undone(evidence.missing)]
    if evidence.silence is not None and not evidence.invocations:
        return [_silence(evidence)]
    ranked = sorted((-finite(share), name) for name, share in evidence.share.items() if name in _FEATURES)
    # what callers are called, where all of them are of one kind
    sources = {kind for _, kind, _ in evidence.callers}
    source = sources.pop() if len(sources) == 1 else ""
    topics: dict[str, dict[str, Any]] = {}
    for negative, name in ranked:
        feature, topic = _FEATURES[name], TOPICS.get(name, name)
        value, typical = _number(evidence.value.get(name)), _number(evidence.typical.get(name))
        if -negative <= 0.0:
            continue
        if topic in topics:
            topics[topic]["share"] += -negative
            continue
        topics[topic] = {
            "feature": name,
            "words": feature.words,
            "value": value,
            "typical": typical,
            "unit": feature.unit,
            "share": -negative,
            "text": feature.words if value is None else reason_text(name, value, typical, source),
        }
    found = [one for one in topics.values() if one["share"] >= _LEAST_SHARE]
    news = [one for one in found if is_news(one["feature"], one["value"], one["typical"])] or found[:1]
    return sorted(news, key=lambda one: (-one["share"], one["feature"]))[:REASONS]


def _undone(missing: Missing) -> dict[str, Any]:
    """That less, or more, came than what ran elsewhere promised."""
    came, promised = finite(missing.came), finite(missing.promised)
    return {
        "feature": "downstream",
        "words": f"runs {'beyond those that' if missing.too_many else 'that'} others promised"
        f"{'' if missing.too_many else ' and that did not come'}",
        "value": came,
        "typical": promised,
        "unit": "count",
        "share": 1.0,
        "text": f"{plural(round(came), 'run')} where about {number(max(round(promised), 1))} were to follow",
    }


def _silence(evidence: Evidence) -> dict[str, Any]:
    """That nothing came, where something was to be expected: it is measured by no feature of an invocation."""
    silent = evidence.silence or Silence(0.0, 0)
    hours = silent.lasts_us(evidence.opened_us) / _HOUR_US
    expected = finite(silent.gone(hours))
    if (whole := silent.in_whole_runs(hours, len(evidence.functions))) is not None:
        expected = float(whole[1])
    text = f"0 calls in {span(hours * 3600.0)} where {number(expected)} would be usual"
    return {
        "feature": "silence",
        "words": "calls that did not come",
        "value": 0.0,
        "typical": expected,
        "unit": "count",
        "share": 1.0,
        "text": f"about {number(expected)} calls missing" if silent.in_turn or silent.unlike(hours * 3600.0) else text,
    }


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


__all__ = ["Coverage", "Kind", "blind_spots", "classify", "describe", "reasons"]
