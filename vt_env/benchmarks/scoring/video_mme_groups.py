"""Group scores of Video-MME-v2: four questions about one video, scored non-linearly.

Source: MME-Benchmarks/Video-MME-v2 (b24176a1), `evaluation/test_video_mme_v2.py`. A `relevance` group scores `(k/4)^2`
for `k` right answers. A `logic` group scores the number of right answers before the first error, by one of three maps.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence

from vt_env.benchmarks.readers.rows import Group
from vt_env.benchmarks.scoring.verdicts import Aggregate, Verdict
from vt_env.stats import Clusters, clustered

GROUP_SIZE = 4
_CHAINS: Mapping[str, tuple[float, ...]] = {
    "[1, 2, 3, 4]": (0, 1 / 16, 4 / 16, 9 / 16, 1),
    "[1, [2, 3], 4]": (0, 1 / 12, 4 / 12, 7 / 12, 1),
    "[[1, 2], 3, 4]": (0, 1 / 10, 2 / 10, 5 / 10, 1),
}
"""Score of chains of length 0 to 4, by group structure."""

UNPARSED = -1
"""Mark of an unparsed answer in the standalone script, which counts as right in chains and as -1 in sums."""


def group_score(scores: Sequence[int], group: Group) -> float:
    """Score a group from 0 to 100.

    Args:
        scores: 1 for right, 0 for wrong, in the order of the questions; `UNPARSED` reproduces the standalone script.
        group: Kind and structure of the group.

    Raises:
        ValueError: `scores` does not have four elements, or the structure is unknown.
    """
    if len(scores) != GROUP_SIZE:
        raise ValueError(f"{len(scores)} answers: need {GROUP_SIZE}, one per question of the group")
    if group.kind == "relevance":
        right = sum(scores)
        return 100 * (right / GROUP_SIZE) ** 2 if right >= 0 else 0.0
    structure = json.dumps(json.loads(group.structure))
    if structure not in _CHAINS:
        raise ValueError(f"group_structure={group.structure!r}; known are {', '.join(_CHAINS)}")
    chain = next((idx for idx, score in enumerate(scores) if not score), GROUP_SIZE)
    # Two questions in brackets are interchangeable, so the second alone is worth as much as the first.
    if structure == "[1, [2, 3], 4]" and chain == 1 and scores[2]:
        chain = 2
    if structure == "[[1, 2], 3, 4]" and chain == 0 and scores[1]:
        chain = 1
    return 100 * _CHAINS[structure][chain]


def _by_video(verdicts: Sequence[Verdict]) -> list[Clusters]:
    """Score complete groups by video, in the order of question ids; unparsed answers are wrong."""
    videos: defaultdict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        if verdict.counted:
            videos[verdict.row.video_id].append(verdict)
    scores: list[tuple[str, float]] = []
    for video_id, group in videos.items():
        ordered = sorted(group, key=lambda verdict: verdict.row.question_id)
        kind = ordered[-1].row.group
        if len(ordered) == GROUP_SIZE and kind is not None:
            scores.append((video_id, group_score([int(verdict.correct) for verdict in ordered], kind) / 100))
    return [clustered(scores)] if scores else []


def _by_position(verdicts: Sequence[Verdict]) -> list[Clusters]:
    """Score every four consecutive rows, as the standalone script; empty if the rows do not form complete groups."""
    if not verdicts or len(verdicts) % GROUP_SIZE:
        return []
    scores: list[tuple[str, float]] = []
    for start in range(0, len(verdicts), GROUP_SIZE):
        four = verdicts[start : start + GROUP_SIZE]
        kind = four[-1].row.group
        marks = [int(verdict.correct) if verdict.letters else UNPARSED for verdict in four]
        scores += [(four[-1].row.video_id, group_score(marks, kind) / 100)] if kind is not None else []
    return [clustered(scores)] if scores else []


grouped = Aggregate("v2@fixed", _by_video)
"""Mean group score, with groups by video in the order of question ids and unparsed answers wrong. Partial groups are
left out."""
grouped_standalone = Aggregate("v2@standalone", _by_position)
"""Mean group score of the standalone script: four consecutive rows form a group, and unparsed answers count as right in
chains. The result depends on the row order, and a logic group of only unparsed answers scores 100."""


def by_group_label(verdicts: Sequence[Verdict], label: str) -> dict[str, list[Verdict]]:
    """Group verdicts by the label of the question of their video with the last id."""
    videos: defaultdict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        videos[verdict.row.video_id].append(verdict)
    groups = [sorted(group, key=lambda verdict: verdict.row.question_id) for group in videos.values()]
    return _by_last_label(groups, label)


def by_position_label(verdicts: Sequence[Verdict], label: str) -> dict[str, list[Verdict]]:
    """Group verdicts by the label of the last of every four consecutive rows, as the standalone script."""
    groups = [verdicts[start : start + GROUP_SIZE] for start in range(0, len(verdicts), GROUP_SIZE)]
    return _by_last_label(groups, label)


def _by_last_label(groups: Sequence[Sequence[Verdict]], label: str) -> dict[str, list[Verdict]]:
    parts: defaultdict[str, list[Verdict]] = defaultdict(list)
    for group in groups:
        for part in group[-1].row.labels.get(label, ()):
            parts[part] += group
    return {part: parts[part] for part in sorted(parts)}
