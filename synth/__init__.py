"""Trajectory synthesis: a teacher plays in caption space, filters select, replays ground the rest with frames."""
