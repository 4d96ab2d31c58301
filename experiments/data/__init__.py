"""Commands that make data: `world`, `index`, `audit`, `synth`, `key`."""
