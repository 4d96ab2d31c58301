"""Commands that train: `pretrain`, `sft`, `grpo`, `rft`, and what they share."""
