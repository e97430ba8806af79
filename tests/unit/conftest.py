"""Unit tests are pure and small; what takes them long is a busy machine, which no property may fail on."""

from hypothesis import settings

settings.register_profile("runplane", deadline=None, print_blob=True)
settings.load_profile("runplane")
