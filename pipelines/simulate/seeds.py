"""Random streams named by what they are for, so that more days or more callers never shift another stream."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np

DIGEST_BYTES = 16  #: 128 bits, what a seed sequence takes in


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """An independent generator for one purpose, the same on every machine.

    Args:
        seed: the tenant's seed.
        names: what the stream is for, as ``("sessions", "shop-api", 3)``.
    """
    digest = blake2b(repr((seed, *names)).encode(), digest_size=DIGEST_BYTES).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))
