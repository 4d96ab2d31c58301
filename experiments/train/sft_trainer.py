"""TRL's SFT trainer with whole resume and a stop at NaN; imports TRL."""

from trl import SFTTrainer

from vt_env.integrations.trl.checked_trainer import CheckedTrainer


class CheckedSFTTrainer(CheckedTrainer, SFTTrainer):
    """`trl.SFTTrainer`, checked as `CheckedTrainer` says."""
