"""Registers the scheduler `vt_env` with ms-swift: `--external_plugins experiments/integrations/ms_swift/plugin.py`.

A file of its own, since ms-swift puts the folder of a plugin first on the path of modules.
"""

from vt_env.integrations.ms_swift import LongVideoScheduler

__all__ = ["LongVideoScheduler"]
