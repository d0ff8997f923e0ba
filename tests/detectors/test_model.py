"""A model survives its bundle to the bit, and a bundle of other features is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from detectors.features import FEATURE_NAMES
from detectors.model import SCHEMA, Model
from models.bundle import decode_bundle, encode_bundle
from models.errors import BundleForeignError


@pytest.fixture
def parts(model: Model) -> tuple[dict[str, Any], dict[str, Any]]:
    tables, documents = model.to_parts()
    return dict(tables), {name: dict(document) for name, document in documents.items()}


def test_a_model_comes_back_from_its_bundle(model: Model, parts: Any) -> None:
    tables, documents = parts
    files = encode_bundle(tables=tables, documents=documents, manifest={})
    bundle = decode_bundle(files)
    back = Model.from_parts(bundle.tables, bundle.documents, model.version)
    again, documents_again = back.to_parts()
    assert encode_bundle(tables=again, documents=documents_again, manifest={}) == files
    assert back.version == model.version
    assert (back.silence_nats == model.silence_nats).all()
    assert back.curve.threshold(1.0) == model.curve.threshold(1.0)
    assert back.state.keys() == model.state.keys()


def test_a_bundle_is_plain_tables_and_documents(parts: Any) -> None:
    for name, content in encode_bundle(tables=parts[0], documents=parts[1], manifest={}).items():
        assert name.endswith((".arrow", ".json")), name
        assert isinstance(content, bytes)


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "lonetree.model/0"},
        {"schema": None},
        {"features": []},
        {"features": [*FEATURE_NAMES, "another"]},
        {"features": [*FEATURE_NAMES[1:], FEATURE_NAMES[0]]},
    ],
    ids=["older schema", "no schema", "no features", "one feature more", "another order"],
)
def test_a_bundle_of_other_features_is_refused_with_a_hint(parts: Any, change: dict[str, Any]) -> None:
    tables, documents = parts
    documents["model"] |= change
    with pytest.raises(BundleForeignError) as caught:
        Model.from_parts(tables, documents)
    assert caught.value.expected == SCHEMA
    assert "lonetree train" in str(caught.value.hint)


def test_a_bundle_without_a_model_is_refused(parts: Any) -> None:
    with pytest.raises(BundleForeignError):
        Model.from_parts(parts[0], {})


def test_state_is_told_apart_by_its_stage(model: Model) -> None:
    assert set(model.part("function")) >= {"functions", "pairs", "apps"}
    assert set(model.part("caller")) == {"callers"}
    assert np.isfinite(model.silence_nats).all()
