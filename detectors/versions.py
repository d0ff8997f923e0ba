"""Models to and from a registry: what training, replay and notebooks share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from detectors.model import Model
from models.bundle import encode_bundle
from models.registry import CHAMPION, Registry
from models.storage import Storage
from models.user import whoami


def save_model(
    model: Model, registry: Registry | Storage | str | Path, *, note: str = "", who: str | None = None
) -> str:
    """Add a model to a registry as a new version; the same model again gives the version that is there.

    Args:
        model: as ``fit`` gives it.
        registry: a registry, or its folder.
        note: what should be known about it, kept in the registry's log.
        who: who adds it; the user by default.

    Returns:
        The version's name.

    Raises:
        RegistryError: the registry can't be written.
    """
    tables, documents = model.to_parts()
    first, last = model.span
    manifest = {
        "training_window": {"start": first.isoformat(), "end": last.isoformat()},
        "invocations": model.invocations,
        "functions": len(model.judge.baselines),
        "notes": list(model.notes),
    }
    if model.caller_property is not None:
        manifest["caller_property"] = model.caller_property
    if model.pseudonyms is not None:
        manifest["pseudonyms"] = model.pseudonyms
    files = encode_bundle(tables=tables, documents=documents, manifest=manifest)
    return _opened(registry).add(files, who=who or whoami(), note=note)


def load_model(registry: Registry | Storage | str | Path, version: str | None = None) -> Model:
    """A version of a registry, its checksums verified.

    Args:
        registry: a registry, or its folder.
        version: its name; the champion by default.

    Raises:
        RegistryError: there is none.
        BundleCorruptError, BundleForeignError, BundleNewerError: it can't be used.
    """
    opened = _opened(registry)
    name = opened.resolve(version or CHAMPION)
    bundle = opened.get(name)
    return replace(Model.from_parts(bundle.tables, bundle.documents), version=name)


def _opened(registry: Registry | Storage | str | Path) -> Registry:
    return registry if isinstance(registry, Registry) else Registry(registry)
