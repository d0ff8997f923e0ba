"""The phrases that titles and summaries are made of: each is worked out from evidence when a template asks for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from detectors import wording as say
from detectors.phrases.trouble import Trouble


class Phrases(Trouble, Mapping[str, str]):
    """Phrase by name, for ``str.format_map``; a name with a capital gives the phrase with a capital.

    >>> from detectors.evidence import Evidence
    >>> seen = Evidence(invocations=41, last_us=720_000_000, callers=(("address:203.0.113.7", "address", 41),))
    >>> "{Calls} {during} from {caller}.".format_map(Phrases(seen))
    '41 calls in 12 minutes from address 203.0.113.7.'
    """

    def __getitem__(self, name: str) -> str:
        found = getattr(type(self), f"say_{name.lower()}", None)
        if found is None:
            raise KeyError(name)
        text: str = found(self)
        return say.capital(text) if name[:1].isupper() else text

    def __iter__(self) -> Iterator[str]:
        return (name.removeprefix("say_") for name in dir(type(self)) if name.startswith("say_"))

    def __len__(self) -> int:
        return sum(1 for _ in self)


__all__ = ["Phrases"]
