"""One HTTP POST, with outcomes told apart: delivered, try again, will never be taken.

Redirects are followed to the same scheme, host and port only, and only where the method stays (307, 308): an alert and
its signature must not wander to a host that nobody configured. Errors name the host and the status, never the path,
which is the secret of a chat webhook.
"""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from typing import IO, Final
from urllib.parse import urlsplit

from models.errors import InputError
from pipelines.retry import TRANSIENT_STATUSES, retry_after_s
from pipelines.secrets import Secret, redact
from pipelines.sinks.base import DeliveryError
from pipelines.sinks.escape import terminal

#: the sender gives up after this, s; a healthy chat service answers within one
TIMEOUT_S: Final = 10.0
#: how much of an answer is read, bytes; services say what they dislike at the beginning
_ANSWER_BYTES: Final = 2048
#: how much of it is shown in an error, characters
_ANSWER_SHOWN: Final = 200
#: the service is there and judged this message: repeating it unchanged can't help
_REJECTING_STATUSES: Final = frozenset({400, 406, 411, 413, 415, 422, 431})
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class Answer:
    """What a server answered: its status, lower-cased headers and the beginning of the body."""

    status: int
    headers: dict[str, str]
    body: str


def checked_url(url: Secret, what: str) -> Secret:
    """The address, if it is one that may be posted to: https, or http to this very machine.

    Raises:
        InputError: another scheme, no host, or a user name and password in it.
    """
    try:
        parts = urlsplit(url.reveal())
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    allowed = parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)
    if not host or not allowed or parts.username is not None or any(c <= " " for c in url.reveal()):
        raise InputError(
            f"The address of the {what} can't be used.",
            expected="https://host/… (plain http only to localhost), without a user name in it",
            received=f"scheme {parts.scheme or 'missing'} ({url})",
        )
    return url


def host_of(url: Secret) -> str:
    """Host and port of an address: the part that is safe to show."""
    return urlsplit(url.reveal()).netloc


def post(
    url: Secret,
    body: bytes,
    headers: Mapping[str, str],
    *,
    now_s: float,
    secrets: tuple[Secret, ...] = (),
    timeout_s: float = TIMEOUT_S,
) -> Answer:
    """Send one body and return a 2xx answer.

    Args:
        url: where to.
        body: the whole body, bytes.
        headers: besides Content-Length and User-Agent.
        now_s: POSIX time, to read a Retry-After that is a date.
        secrets: further texts that must not show in an error.
        timeout_s: for each of connecting and reading.

    Raises:
        DeliveryError: ``retry=False`` for 400, 413, 422 and their like; ``retry=True`` for everything else, with
            ``retry_after_s`` where the server said so.
    """
    request = urllib.request.Request(url.reveal(), data=body, method="POST")  # noqa: S310, checked_url has seen it
    for name, value in {"User-Agent": "lonetree", **headers}.items():
        request.add_header(name, value)
    host, hidden = host_of(url), (*_pieces(url), *secrets)
    try:
        with _opener().open(request, timeout=timeout_s) as response:
            return _answer(response.status, response.headers, response)
    except urllib.error.HTTPError as error:
        with error:
            answer = _answer(error.code, error.headers, error)
        raise _refused(host, answer, now_s, hidden) from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise DeliveryError(
            f"{host} can't be reached.",
            received=redact(terminal(f"{type(reason).__name__}: {reason}"), hidden)[:_ANSWER_SHOWN],
            retry=True,
        ) from None


def _pieces(url: Secret) -> tuple[Secret, ...]:
    """The address, its path and query, and the parts of both: a server may quote any of them back at us."""
    parts = urlsplit(url.reveal())
    pieces = [url.reveal(), parts.path, parts.query, *parts.path.split("/"), *parts.query.split("&")]
    return tuple(Secret(piece, url.origin) for piece in pieces)


def _refused(host: str, answer: Answer, now_s: float, hidden: tuple[Secret, ...]) -> DeliveryError:
    hint = None
    if 300 <= answer.status < 400:
        hint = "redirects are followed on the same host only; configure the final address"
    elif answer.status in (401, 403):
        hint = "the credentials are missing, wrong or expired"
    elif answer.status in (404, 410):
        hint = "the address is gone: make a new webhook and set it"
    return DeliveryError(
        f"{host} did not take the incident.",
        expected="2xx",
        received=f"{answer.status} {redact(terminal(answer.body), hidden)[:_ANSWER_SHOWN]}".rstrip(),
        hint=hint,
        retry=answer.status not in _REJECTING_STATUSES,
        retry_after_s=retry_after_s(answer.headers, now_s) if answer.status in TRANSIENT_STATUSES else None,
    )


def _answer(status: int, headers: Message, body: IO[bytes]) -> Answer:
    try:
        text = body.read(_ANSWER_BYTES).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        text = ""  # the status was the answer; a broken body adds nothing
    return Answer(status, {name.lower(): value for name, value in headers.items()}, text)


class _SameHost(urllib.request.HTTPRedirectHandler):
    """Follows 307 and 308 to where the request went in the first place, and nowhere else."""

    max_redirections = 3

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],  # noqa: ARG002, urllib's signature
        code: int,
        msg: str,  # noqa: ARG002, as fp
        headers: Message,  # noqa: ARG002, as fp
        newurl: str,
    ) -> urllib.request.Request | None:
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        if code not in (307, 308) or (old.scheme, old.netloc) != (new.scheme, new.netloc):
            return None  # urllib then raises the 3xx as an HTTPError
        again = urllib.request.Request(newurl, data=req.data, method="POST")  # noqa: S310, the origin is unchanged
        for name, value in req.header_items():
            again.add_header(name, value)
        return again


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_SameHost)
