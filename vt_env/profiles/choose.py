"""Choice of a profile: by name, or by the videos that are played."""

from collections.abc import Iterable

from vt_env.errors import ConfigError, suggest
from vt_env.media.terminal import say_once
from vt_env.profiles.bundles import FIELD, PROFILES, WORLD, Profile
from vt_env.types import VideoRef


def resolve_profile(profile: str | Profile) -> Profile:
    """Turn a name into its profile; a profile is returned as it is.

    Raises:
        ConfigError: There is no such profile.
    """
    if isinstance(profile, Profile):
        return profile
    if profile not in PROFILES:
        raise ConfigError(f"profile={profile!r}: allowed are {', '.join(PROFILES)}{suggest(profile, PROFILES)}")
    return PROFILES[profile]


def choose_profile(profile: str | Profile | None, videos: Iterable[VideoRef]) -> Profile:
    """Return the profile of a set of videos; where none is given, `world` for the generated world and `field` else.

    The choice of `field` is said once on the terminal.

    Args:
        profile: A name or a profile; `None` chooses by the videos.
        videos: All videos of the tasks.

    Raises:
        ConfigError: There is no such profile.
    """
    if profile is not None:
        return resolve_profile(profile)
    if all(it.world for it in videos):
        return WORLD
    say_once(f"profile {FIELD.describe()}; profile= or --profile changes it")
    return FIELD
