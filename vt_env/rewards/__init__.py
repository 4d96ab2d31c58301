"""Rewards of finished episodes: named terms, weights, presets."""
