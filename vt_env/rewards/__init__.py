"""From a finished episode to one number: named terms, weights, presets."""
