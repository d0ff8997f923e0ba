"""HMAC-SHA256 signatures of webhook deliveries, in the form of the Standard Webhooks specification.

The signed content is ``{id}.{timestamp}.{body}``, so a copied delivery can be told by its id and an old one by its
time. Receivers verify with ``verify`` or with any Standard Webhooks library. https://www.standardwebhooks.com
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

from pipelines.secrets import Secret

#: a receiver refuses what is older or newer than this, s: long enough for skewed clocks, short enough against replays
TOLERANCE_S: Final = 300
_PREFIX: Final = "whsec_"


def signed_headers(secret: Secret, message_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """The three headers ``webhook-id``, ``webhook-timestamp`` and ``webhook-signature`` of one delivery.

    Args:
        secret: ``whsec_`` and base64, or any text (its UTF-8 bytes are the key).
        message_id: identity of the delivery; the same for every attempt.
        timestamp_s: POSIX time of the attempt, whole seconds.
        body: the exact bytes that are sent.
    """
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": f"v1,{_digest(secret, message_id, str(timestamp_s), body)}",
    }


def verify(
    secret: Secret, headers: Mapping[str, str], body: bytes, now_s: float, tolerance_s: int = TOLERANCE_S
) -> bool:
    """Whether a delivery was signed with the secret and is fresh; for receivers, and for the tests.

    Several signatures may stand in the header, separated by spaces, while a secret is being replaced.
    """
    found = {name.lower(): value for name, value in headers.items()}
    message_id, timestamp = found.get("webhook-id", ""), found.get("webhook-timestamp", "")
    if not timestamp.isdigit() or abs(now_s - int(timestamp)) > tolerance_s:
        return False
    expected = _digest(secret, message_id, timestamp, body)
    offered = [value[3:] for value in found.get("webhook-signature", "").split(" ") if value.startswith("v1,")]
    return any([hmac.compare_digest(expected.encode(), value.encode()) for value in offered])  # noqa: C419, no early end


def _digest(secret: Secret, message_id: str, timestamp: str, body: bytes) -> str:
    content = f"{message_id}.{timestamp}.".encode() + body
    return base64.b64encode(hmac.new(_key(secret), content, hashlib.sha256).digest()).decode()


def _key(secret: Secret) -> bytes:
    value = secret.reveal()
    if value.startswith(_PREFIX):
        try:
            return base64.b64decode(value[len(_PREFIX) :], validate=True)
        except (binascii.Error, ValueError):
            pass
    return value.encode()
