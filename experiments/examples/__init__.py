"""Example programs: PPO policies that learn on the numeric environment, without a language model."""
