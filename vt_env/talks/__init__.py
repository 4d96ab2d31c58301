"""Talks: generated lectures with slides, charts, a clock and ordinary English, a benchmark of protocols.

    split, number ──► script (pages, narration) ──► questions with evidence ──► files (H.264, SRT, captions)

Twelve talks of 10 to 40 minutes per split, one for each subject in `material/`, whose sentences were written by hand.
Values, order, speaker and timing are drawn from fixed seeds, so tasks are the same on every machine. Questions come in
six families (`vt_env.talks.questions`). They measure whether a policy and its prompt work together, not how well a
model understands lectures.
"""
