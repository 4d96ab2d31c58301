"""Public benchmarks: their own annotation files as tasks, an audit of them, and their official scores.

    from vt_env import load_tasks
    load_tasks("lvbench")                         # $VT_ENV_DATA/lvbench
    load_tasks("/data/MLVU")                      # any folder or annotation file, recognised by its keys

Nothing is downloaded and no benchmark is shipped: most may not be redistributed. Extension: not part
of the paper's method.
"""
