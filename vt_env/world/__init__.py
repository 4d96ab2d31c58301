"""A generated world of long videos with known answers: a diagnostic in the spirit of bsuite, not a benchmark.

    seed ──► script (scenes, subtitles) ──► questions with evidence ──► files (H.264, SRT, captions)

Everything follows from integer seeds; the same seed gives the same tasks on every machine. The default world asks three
families of questions; the full one (`vt_env.world.config.full_world`) asks eight, of videos with small print and things
to count.
"""
