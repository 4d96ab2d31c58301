"""Profiles: named bundles of everything that an episode is played with."""

from vt_env.profiles.bundles import FIELD, PAPER, PROFILES, WORLD, Profile
from vt_env.profiles.choose import choose_profile, resolve_profile

__all__ = ["FIELD", "PAPER", "PROFILES", "WORLD", "Profile", "choose_profile", "resolve_profile"]
