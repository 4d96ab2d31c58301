"""Commands that train, `pretrain`, `sft`, `grpo` and `rft`, and their shared code."""
