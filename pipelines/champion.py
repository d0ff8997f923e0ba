"""The version that judges, and what people said of its incidents: followed while a job runs."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from detectors.conform import ConformOptions
from detectors.model import Model
from models.errors import BundleForeignError, InputError, LonetreeError
from models.feedback import Feedback, read_feedback, standing
from pipelines.reading import reading, refuse_strangers
from pipelines.registry_storage import open_registry
from pipelines.sinks.escape import terminal

if TYPE_CHECKING:
    from pipelines.graph import Plan

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Judging:
    """A version, ready to judge."""

    version: str
    #: what people said about incidents, as it stood
    feedback: tuple[Feedback, ...]
    plan: Plan
    #: false incidents a day that the budget is expected to let through
    expected: float


class Champion:
    """Follows a registry's champion.

    Args:
        models: the registry's folder.
        budget: false incidents a day.
        public_key: PEM; if given, only versions signed with its private key are taken.
        pseudonym_key: where the key is kept by which callers become pseudonyms, ``env:NAME`` or ``file:PATH``; only
            versions are taken that know callers by these.
    """

    def __init__(
        self, models: str | Path, budget: float, public_key: bytes | None = None, pseudonym_key: str | None = None
    ) -> None:
        if not budget > 0:
            raise InputError("The budget can't be kept.", expected="a number above 0", received=f"{budget:g}")
        self._registry = open_registry(models)
        self._budget, self._key = budget, public_key
        # what a stream brings may be of any day
        self._conform = replace(reading(pseudonym_key=pseudonym_key), now_us=None)
        self._conform.pseudonyms()  # a key that can't be used is told before anything is read
        #: the version that judges, and with which feedback
        self.version: str | None = None
        self._feedback: tuple[Feedback, ...] = ()
        #: versions that were refused, since the start
        self.refused = 0
        #: why the champion does not judge; None where it does
        self.trouble: str | None = None

    def conform(self) -> ConformOptions:
        """How logs are read: callers as the champion knows them."""
        return replace(self._conform, caller_property=self.caller_property())

    def caller_property(self) -> str | None:
        """The property in which the app's owner logs who called, as the champion learned it; None where it has none."""
        try:
            manifest = self._registry.get(public_key=self._key).manifest
        except LonetreeError:
            return None  # ``start`` says why, or takes the former version
        name = manifest.get("caller_property")
        return name if isinstance(name, str) else None

    def start(self, former: str | None = None) -> Judging:
        """The champion; where it can't be used, the version that judged before.

        Args:
            former: the version named by a checkpoint.

        Raises:
            ModelError: neither can be used.
        """
        try:
            judging = self._load(self._registry.resolve())
        except LonetreeError as error:
            if former is None:
                raise
            self._refuse(str(error), f"{former} goes on judging")
            judging = self._load(former)
        self.took(judging)
        return judging

    def changed(self) -> Judging | None:
        """Another champion or other feedback than that which judges, loaded and verified; None where nothing changed.

        A version that can't be used is refused: it is told once, counted, and tried again with each call.
        """
        try:
            name = self._registry.resolve()
            if name == self.version and self._said() == self._feedback:
                self.trouble = None
                return None
            return self._load(name)
        except Exception as error:
            # whatever is wrong with a bundle must not stop the job that judges without it
            self._refuse(str(error) or type(error).__name__)
            return None

    def load(self, name: str) -> Judging:
        """A version, verified, whether or not it is the champion.

        Raises:
            ModelError: there is none, or it can't be used.
        """
        return self._load(name)

    def took(self, judging: Judging) -> None:
        """It judges now."""
        self.version, self._feedback, self.trouble = judging.version, judging.feedback, None

    def refuse(self, judging: Judging, error: Exception) -> None:
        """It was loaded, and the engine could not take it."""
        self._refuse(f"{judging.version}: {type(error).__name__}: {error}")

    def _load(self, name: str) -> Judging:
        # imported here: it loads Beam
        from pipelines.workflows import plan_for

        bundle = self._registry.get(name, public_key=self._key)
        try:
            model = replace(Model.from_parts(bundle.tables, bundle.documents), version=name)
        except (KeyError, ValueError, TypeError, IndexError, AttributeError, pa.ArrowException) as error:
            raise BundleForeignError(
                f"Version {name} is not made like the models of this Lonetree.",
                received=f"{type(error).__name__}: {error}",
                hint="Train a new version from the logs: lonetree train --input LOGS --models DIR",
            ) from error
        refuse_strangers(model, self._conform)
        expected = model.curve.rate(model.curve.threshold(self._budget))
        said = self._said()
        return Judging(name, said, plan_for(model, self._budget, said), float(expected))

    def _said(self) -> tuple[Feedback, ...]:
        return tuple(standing(read_feedback(self._registry.storage)))

    def _refuse(self, why: str, instead: str | None = None) -> None:
        if why != self.trouble:
            self.refused += 1
            _log.error("the champion is refused, %s: %s", instead or f"{self.version} goes on judging", terminal(why))
        self.trouble = why
