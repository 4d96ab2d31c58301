"""Public benchmarks: tasks from their annotation files, dataset audits and official scores.

    from vt_env import load_tasks
    load_tasks("lvbench")                         # $VT_ENV_DATA/lvbench
    load_tasks("/data/MLVU")                      # any folder or annotation file, recognised by its keys

Benchmarks are neither included nor downloaded, since most forbid redistribution. Extension: not part of the paper's
method.
"""
