"""Every error that Lonetree raises on purpose, as one tree.

LonetreeError
├── InputError            what came in can't be used: a path, a record, an option
│   └── DeadLetterError     one record; it goes to the dead letters and the work goes on
├── ModelError            a bundle or a registry can't be used
│   ├── BundleCorruptError  checksums or shapes don't hold
│   ├── BundleForeignError  not a bundle of ours, or of another schema
│   ├── BundleNewerError    written by a newer Lonetree
│   └── RegistryError       no such version, or another process holds the lock
├── SourceError           a source of logs fails (says whether to try again)
└── SinkError             a destination of findings fails (says whether to try again)

Each says what was expected, what came, a hint, and whether trying again can help.
"""

from __future__ import annotations


class LonetreeError(Exception):
    """Root of the tree.

    Args:
        message: what went wrong, one sentence.
        expected: what would have been right.
        received: what came instead (never a secret: callers mask first).
        hint: what to do about it.
        retry: True where the same call may succeed later.
    """

    #: process exit code of the command line for this kind of error
    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        expected: str | None = None,
        received: str | None = None,
        hint: str | None = None,
        retry: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.expected = expected
        self.received = received
        self.hint = hint
        self.retry = retry

    def __str__(self) -> str:
        """One line a part, in the order a reader needs them."""
        parts = [self.message]
        if self.expected is not None:
            parts.append(f"expected: {self.expected}")
        if self.received is not None:
            parts.append(f"received: {self.received}")
        if self.hint is not None:
            parts.append(f"hint: {self.hint}")
        return "\n  ".join(parts)


class InputError(LonetreeError):
    """What came in can't be used."""

    exit_code = 2


class DeadLetterError(InputError):
    """One record can't be used; the work goes on without it."""


class ModelError(LonetreeError):
    """A bundle or a registry can't be used."""

    exit_code = 3


class BundleCorruptError(ModelError):
    """A bundle's checksums or shapes don't hold."""


class BundleForeignError(ModelError):
    """Not one of our bundles, or one of another schema."""


class BundleNewerError(ModelError):
    """A bundle written by a newer Lonetree."""


class RegistryError(ModelError):
    """No such version, or another process holds the lock."""


class SourceError(LonetreeError):
    """A source of logs fails."""

    exit_code = 4


class SinkError(LonetreeError):
    """A destination of findings fails."""

    exit_code = 5
