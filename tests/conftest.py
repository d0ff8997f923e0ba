"""Settings for all tests: hypothesis measures no time, because a first call may compile or import for seconds."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("lonetree", deadline=None)
settings.load_profile("lonetree")
