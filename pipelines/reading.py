"""How the records of a run are read: who counts as the caller, whether by a pseudonym, and which times can't be."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

from detectors.conform import ConformOptions
from models.errors import InputError
from pipelines.secrets import Secret

if TYPE_CHECKING:
    from detectors.model import Model

#: us, 2026-12-01: a clock that shows an earlier day than this was written on is wrong, and good logs must not suffer
_WRITTEN_US: Final = 1_796_083_200_000_000
#: characters of a pseudonym key at least: with a short one anybody can try all keys on a known identity
SHORTEST_KEY: Final = 16


@dataclass(frozen=True)
class PseudonymKey:
    """The key of pseudonyms, fetched where it is used: plans and jobs carry where it is kept, and not the key.

    Attributes:
        origin: ``env:NAME`` or ``file:PATH``.
    """

    origin: str

    def __call__(self) -> bytes:
        """The key.

        Raises:
            InputError: there is none, or it is too short to keep a secret.
        """
        return _key(self.origin)


@cache
def _key(origin: str) -> bytes:
    key = Secret.parse(origin, what="pseudonym key").reveal().encode()
    if len(key) < SHORTEST_KEY:
        raise InputError(
            "The pseudonym key can be guessed.",
            expected=f"at least {SHORTEST_KEY} characters in {origin}",
            received=f"{len(key)}",
            hint="openssl rand -hex 32",
        )
    return key


def reading(
    caller_property: str | None = None, clock: Callable[[], float] = time.time, pseudonym_key: str | None = None
) -> ConformOptions:
    """How to read logs that end today.

    Args:
        caller_property: key in Properties in which the app's owner logs who called.
        clock: seconds since 1970. A record more than a day ahead of it is a dead letter: one such row would stretch the
            window of training, or have every function fall silent.
        pseudonym_key: where the key is kept by which callers become pseudonyms, ``env:NAME`` or ``file:PATH``.
    """
    return ConformOptions(
        caller_property=caller_property,
        pseudonym_key=None if pseudonym_key is None else PseudonymKey(pseudonym_key),
        now_us=max(round(clock() * 1e6), _WRITTEN_US),
    )


def reading_for(
    model: Model, pseudonym_key: str | None = None, conform: ConformOptions | None = None
) -> ConformOptions:
    """How to read logs that a version is to judge: callers as it knows them.

    Args:
        model: the version.
        pseudonym_key: as for ``reading``.
        conform: how to read instead; it is only held against the version.

    Raises:
        InputError: the version knows callers by other names.
    """
    options = conform or reading(model.caller_property, pseudonym_key=pseudonym_key)
    refuse_strangers(model, options)
    return options


def refuse_strangers(model: Model, options: ConformOptions) -> None:
    """Refuse to read logs in a way in which a version would know none of its callers.

    Raises:
        InputError: it knows them by names, or by other pseudonyms.
    """
    found = options.pseudonyms()
    if found == model.pseudonyms:
        return
    version = model.version or "This version"
    if model.pseudonyms is None:
        raise InputError(
            f"{version} knows callers by their names.",
            expected="a version trained with this --pseudonym-key, or none",
            received="a pseudonym key",
            hint="Every caller would seem to be new. Train a version: lonetree train --pseudonym-key …",
        )
    raise InputError(
        f"{version} knows callers by pseudonyms.",
        expected="--pseudonym-key with the key that it was trained with",
        received="no key" if found is None else "another key",
        hint="Every caller would seem to be new. Where the key is lost, train a new version.",
    )
