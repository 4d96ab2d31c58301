"""Settings of all tests: property tests have no deadline, since how long an example takes says nothing about it."""

from hypothesis import settings

settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")
