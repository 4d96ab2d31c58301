"""Commands that make or search data: `world`, `index`, `search`, `audit`, `synth`, `key`."""
