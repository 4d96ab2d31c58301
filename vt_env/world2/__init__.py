"""Second generated world, where most answers are in no caption; the first one is `vt_env.world`.

docs/world2.md fixes scenes, families, questions, captions and words.
"""
