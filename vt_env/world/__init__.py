"""Generated world: long synthetic videos with known answers, a diagnostic in the spirit of bsuite, not a benchmark.

    seed ──► script (scenes, subtitles) ──► questions with evidence ──► files (H.264, SRT, captions)

Integer seeds determine all content; the same seed gives the same tasks on every machine. The default world has three
question families. The full world (`vt_env.world.config.full_world`) has eight, with small print and repeated scenes.
"""
