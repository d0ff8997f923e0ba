"""Hypothesis without a deadline: the first call of a compiled kernel takes seconds."""

from hypothesis import settings

settings.register_profile("models", deadline=None)
settings.load_profile("models")
