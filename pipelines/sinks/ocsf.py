"""An incident as an OCSF 1.8.0 Detection Finding (class 2004), and the check of its required fields.

https://schema.ocsf.io/1.8.0/classes/detection_finding
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from models.errors import SinkError
from pipelines.sinks.base import Incident, amends, key, masked
from pipelines.sinks.lines import as_datetime, json_line

VERSION: Final = "1.8.0"
CATEGORY_UID: Final = 2
CLASS_UID: Final = 2004
_CREATE, _UPDATE = 1, 2

#: our severity -> OCSF severity_id
SEVERITY_ID: Final[dict[str, int]] = {"info": 1, "low": 2, "medium": 3, "high": 4, "critical": 5}

#: object -> its required attributes and their types, from the schema; "" is the event itself.
#: A name with ``[]`` is a list of such objects. An object that is absent is not checked unless its owner requires it.
REQUIRED: Final[dict[str, dict[str, type]]] = {
    "": {
        "activity_id": int,
        "category_uid": int,
        "class_uid": int,
        "type_uid": int,
        "severity_id": int,
        "time": int,
        "metadata": dict,
        "finding_info": dict,
    },
    "metadata": {"product": dict, "version": str},
    "metadata.product": {"name": str},
    "finding_info": {"uid": str},
    "finding_info.analytic": {"type_id": int},
    "anomaly_analyses[]": {"analysis_target": dict, "anomalies": list},
    "anomaly_analyses[].analysis_target": {"name": str},
    "anomaly_analyses[].anomalies[]": {"observations": list, "observed_attribute": str},
    "anomaly_analyses[].anomalies[].observations[]": {"value": str},
    "anomaly_analyses[].baselines[]": {"observations": list, "observed_attribute": str},
    "anomaly_analyses[].baselines[].observations[]": {"value": str},
}

#: object -> of these at least one, the schema's constraints
AT_LEAST_ONE: Final[dict[str, tuple[str, ...]]] = {
    "finding_info.attacks[]": ("tactic", "technique", "sub_technique"),
    "finding_info.attacks[].technique": ("name", "uid"),
    "resources[]": ("name", "uid"),
    "evidences[]": ("actor", "api", "data", "device", "resources", "src_endpoint", "url", "user"),
}

#: attribute -> values that the schema allows
ALLOWED: Final[dict[str, frozenset[int]]] = {
    "activity_id": frozenset({0, 1, 2, 3, 99}),
    "severity_id": frozenset({0, 1, 2, 3, 4, 5, 6, 99}),
    "category_uid": frozenset({CATEGORY_UID}),
    "class_uid": frozenset({CLASS_UID}),
}

_LEARNING: Final = 4  # analytic.type_id "Learning (ML/DL)"
_NEW: Final = 1  # status_id


def detection_finding(incident: Incident) -> dict[str, Any]:
    """The finding: Create for what is told first, Update for what amends it; times in ms since 1970, secrets masked.

    ``finding_info.uid`` is the incident's id, ``metadata.uid`` its identity with the revision.

    Raises:
        SinkError: the incident has no time or id to build a valid finding from (``retry=False``).
    """
    clean = masked(incident)
    activity = _UPDATE if amends(incident) else _CREATE
    raw = {
        "activity_id": activity,
        "activity_name": "Create" if activity == _CREATE else "Update",
        "category_uid": CATEGORY_UID,
        "category_name": "Findings",
        "class_uid": CLASS_UID,
        "class_name": "Detection Finding",
        "type_uid": CLASS_UID * 100 + activity,
        "severity_id": SEVERITY_ID.get(str(clean.get("severity")).lower(), 0),
        "severity": str(clean.get("severity") or "Unknown").capitalize(),
        "status_id": _NEW,
        "time": _ms(clean.get("opened")) or _ms(clean.get("last_event")) or _ms(clean.get("first_event")),
        "start_time": _ms(clean.get("first_event")),
        "end_time": _ms(clean.get("last_event")),
        "is_alert": True,
        "message": clean.get("title"),
        "metadata": {
            "version": VERSION,
            "uid": key(incident),
            "product": {"name": "Lonetree", "vendor_name": "Lonetree"},
        },
        "finding_info": _finding_info(clean),
        "resources": [{"name": name, "type": "Function App"} for name in _texts(clean.get("apps"))]
        + [{"name": name, "type": "Function"} for name in _texts(clean.get("functions"))],
        "evidences": [
            {"data": {"callers": _texts(clean.get("callers")), "invocation_ids": _texts(clean.get("invocation_ids"))}}
        ],
        "anomaly_analyses": _analyses(clean),
    }
    finding: dict[str, Any] = _without_empty(raw)
    problems = validate(finding)
    if problems:
        raise SinkError(
            "The incident makes no valid OCSF finding.",
            expected="an incident with id and times",
            received="; ".join(problems),
        )
    return finding


def ocsf_line(incident: Incident) -> bytes:
    """The finding as one line of ASCII JSON."""
    return json_line(detection_finding(incident))


def validate(finding: Mapping[str, Any]) -> list[str]:
    """What a finding lacks by the schema's required fields, types, constraints and enumerations; empty when valid."""
    problems: list[str] = []
    for path, attributes in REQUIRED.items():
        for where, owner in _objects(finding, path):
            for name, kind in attributes.items():
                value = owner.get(name)
                if value is None:
                    problems.append(f"{where}{name} is missing")
                elif not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
                    problems.append(f"{where}{name} is {type(value).__name__}, not {kind.__name__}")
                elif value in ("", [], {}):
                    problems.append(f"{where}{name} is empty")
    for path, names in AT_LEAST_ONE.items():
        for where, owner in _objects(finding, path):
            if not any(owner.get(name) for name in names):
                problems.append(f"{where} has none of {', '.join(names)}")
    problems.extend(
        f"{name} is {finding.get(name)}" for name, allowed in ALLOWED.items() if finding.get(name) not in allowed
    )
    if finding.get("type_uid") != CLASS_UID * 100 + int(finding.get("activity_id") or 0):
        problems.append("type_uid is not class_uid * 100 + activity_id")
    return problems


def _objects(finding: Mapping[str, Any], path: str) -> list[tuple[str, Mapping[str, Any]]]:
    """The objects at a path of REQUIRED, each with its own path as a prefix for messages."""
    found: list[tuple[str, Mapping[str, Any]]] = [("", finding)]
    for step in path.split(".") if path else []:
        name, many = step.removesuffix("[]"), step.endswith("[]")
        deeper: list[tuple[str, Mapping[str, Any]]] = []
        for where, owner in found:
            value = owner.get(name)
            items = value if many and isinstance(value, list) else [value]
            deeper.extend((f"{where}{name}.", item) for item in items if isinstance(item, Mapping))
        found = deeper
    return found


def _finding_info(clean: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "uid": clean.get("incident_id"),
        "title": clean.get("title"),
        "desc": clean.get("summary"),
        "types": _texts(clean.get("kind")),
        "created_time": _ms(clean.get("opened")),
        "first_seen_time": _ms(clean.get("first_event")),
        "last_seen_time": _ms(clean.get("last_event")),
        "related_events_count": clean.get("invocations"),
        "attacks": [{"technique": {"uid": uid}} for uid in _texts(clean.get("attack"))],
        "analytic": {
            "type_id": _LEARNING,
            "type": "Learning (ML/DL)",
            "name": clean.get("kind"),
            "version": clean.get("model_version"),
        },
    }


def _analyses(clean: Mapping[str, Any]) -> list[dict[str, Any]]:
    reasons = [
        r
        for r in clean.get("reasons") or []
        if isinstance(r, Mapping) and r.get("feature") and r.get("value") is not None
    ]
    if not reasons:
        return []
    target = ", ".join(_texts(clean.get("functions"))) or ", ".join(_texts(clean.get("apps"))) or "function"
    return [
        {
            "analysis_target": {"name": target, "type": "Serverless Function"},
            "anomalies": [_observed(r, "value") for r in reasons],
            "baselines": [_observed(r, "typical") for r in reasons if r.get("typical") is not None],
        }
    ]


def _observed(reason: Mapping[str, Any], which: str) -> dict[str, Any]:
    return {"observed_attribute": str(reason["feature"]), "observations": [{"value": f"{reason[which]}"}]}


def _ms(value: Any) -> int | None:
    time = as_datetime(value)
    return None if time is None else round(time.timestamp() * 1000)


def _texts(value: Any) -> list[str]:
    if value is None:
        return []
    return [str(item) for item in value] if isinstance(value, (list, tuple)) else [str(value)]


def _without_empty(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: kept for name, item in value.items() if (kept := _without_empty(item)) not in (None, [], {})}
    if isinstance(value, list):
        return [kept for item in value if (kept := _without_empty(item)) not in (None, [], {})]
    return value
