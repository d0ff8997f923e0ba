"""Secrets that can be carried about but never shown: tokens, webhook addresses, connection strings.

A value is named by where it is kept, so that it stands in no command line, no process list and no log:

>>> import os
>>> os.environ["EXAMPLE_TOKEN"] = "open sesame"
>>> token = Secret.parse("env:EXAMPLE_TOKEN")
>>> token
Secret(env:EXAMPLE_TOKEN)
>>> f"{token}"
'Secret(env:EXAMPLE_TOKEN)'
>>> token.reveal()
'open sesame'
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NoReturn

from models.errors import InputError

#: what stands in a text where a secret stood
REDACTED: Final = "[secret]"
#: shorter pieces of a secret are ordinary words; hiding them would riddle every message
_SHORTEST_HIDDEN: Final = 6
#: a secret is a line or two; a larger file was named by mistake
_LARGEST_FILE_BYTES: Final = 64 * 1024


class Secret:
    """A text that shows where it came from instead of what it is, in ``repr``, ``str``, ``format`` and tracebacks.

    Args:
        value: the secret itself.
        origin: how it was named, for messages: ``env:NAME``, ``file:PATH`` or ``given``.
    """

    __slots__ = ("_value", "origin")

    def __init__(self, value: str, origin: str = "given") -> None:
        self._value = value
        #: how it was named; safe to show
        self.origin = origin

    @classmethod
    def parse(cls, text: str, *, what: str = "secret") -> Secret:
        """The secret that ``env:NAME`` or ``file:PATH`` names.

        Args:
            text: ``env:NAME`` (an environment variable) or ``file:PATH`` (a file, surrounding white space removed).
            what: what it is for, in the error's first sentence.

        Raises:
            InputError: another form, no such variable or file, or an empty value. It never repeats a plain value.
        """
        kind, _, name = text.partition(":")
        if kind == "env" and name:
            value = os.environ.get(name, "").strip()
            if not value:
                raise InputError(
                    f"The {what} is not set.",
                    expected=f"a value in the environment variable {name}",
                    received="nothing" if name not in os.environ else "an empty value",
                    hint=f"export {name}=… before the start, or use file:PATH",
                )
            return cls(value, text)
        if kind == "file" and name:
            return cls(_read(Path(name), what), text)
        raise InputError(
            f"The {what} must be named by where it is kept.",
            expected="env:NAME or file:PATH",
            received="another form (not repeated here, it may be the secret itself)",
            hint="a value on the command line is visible to every user of the machine",
        )

    def reveal(self) -> str:
        """The secret itself; call it where it is handed over, and nowhere else."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({self.origin})"

    __str__ = __repr__

    def __format__(self, format_spec: str) -> str:
        return format(repr(self), format_spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __bool__(self) -> bool:
        return bool(self._value)

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: a pickle would write the value into job graphs and checkpoints."""
        raise TypeError(f"{self!r} can't be pickled; carry its name ({self.origin}) and parse it where it is used")


def _read(path: Path, what: str) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            value = file.read(_LARGEST_FILE_BYTES + 1).strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise InputError(f"The {what} can't be read.", expected=f"a text file at {path}", received=reason) from None
    if not value or len(value) > _LARGEST_FILE_BYTES:
        raise InputError(
            f"The {what} can't be used.",
            expected=f"1 to {_LARGEST_FILE_BYTES} characters in {path}",
            received="nothing" if not value else "more",
        )
    return value


def redact(text: str, secrets: Iterable[Secret]) -> str:
    """The text with every occurrence of the secrets replaced, also of their longer lines and the parts after ``=``.

    Connection strings are looked through part by part, because libraries quote them that way in their errors.
    """
    pieces: set[str] = set()
    for secret in secrets:
        value = secret.reveal()
        pieces.add(value)
        for part in value.replace("\n", ";").split(";"):
            pieces.update((part, part.partition("=")[2]))
    for piece in sorted((p for p in pieces if len(p) >= _SHORTEST_HIDDEN), key=len, reverse=True):
        text = text.replace(piece, REDACTED)
    return text
