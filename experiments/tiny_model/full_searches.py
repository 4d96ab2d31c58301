"""Training exercises: complete searches over candidates and options, with tool calls omitted.

The scripted agent of `agents.baselines.world_script` plays them, so the thoughts equal those of an episode. The agent
reads captions; the exercise mostly shows the model pictures instead.
"""

from collections.abc import Mapping

import numpy as np

from agents.baselines.world_script import ScriptedAgent
from experiments.tiny_model.exercise import (
    CALLS,
    Exchange,
    Kind,
    Round,
    number_options,
    order_options,
    random_interval,
    random_kinds,
    spare_frames,
)
from experiments.tiny_model.marking import scene_kind
from experiments.tiny_model.scene_pictures import Picture, SceneSource
from vt_env.actions.parse import parse_action
from vt_env.budget.remaining import Remaining
from vt_env.prompts import TINY, clip_lines, frame_time, spoken_lines
from vt_env.types import (
    Answer,
    Interval,
    Item,
    Observation,
    ScoredInterval,
    SubtitleLine,
    TimedLine,
    ToolCall,
    VideoRef,
)
from vt_env.world.captions import small_print_text
from vt_env.world.script import Scene
from vt_env.world.single_scene_questions import OPTIONS, needle_text
from vt_env.world.whole_video_questions import ABSENCE_TEXT, counting_text, detail_text, grounding_text, ordering_text

SHARES: Mapping[str, float] = {
    "ordering": 0.3,
    "absence": 0.2,
    "detail": 0.2,
    "counting": 0.1,
    "grounding": 0.1,
    "needle": 0.1,
}
"""Share of each question family; larger for those with several targets or looks."""
CAPTIONS_SHARE = 0.2
"""Share of searches over captions."""
NEAR, FAR = 4, 3
"""Exclusive upper bounds on the distractors in a list: scenes of the target's colour, and of other colours."""


def seek(rng: np.random.Generator, scenes: SceneSource, lengths: np.random.Generator) -> Exchange:
    """Build an exercise that goes through candidates, options and targets up to the answer."""
    family = str(lengths.choice(list(SHARES), p=list(SHARES.values())))
    # Small print needs frames: captions do not give the middle time that the crop is taken at.
    perception = "captions" if family != "detail" and lengths.random() < CAPTIONS_SHARE else "frames"
    calls = int(lengths.integers(4, CALLS + 1))
    search, agent = _Search(family, rng, scenes), ScriptedAgent(rng)
    left = Remaining(calls, spare_frames(calls, rng))
    item = Item("skill", search.question, search.options, VideoRef("skill", ""))
    request = TINY.opening_text(item, float(rng.integers(1, 3600)), left, perception)
    observation = Observation(request, left)
    agent.reset(item, observation)
    pictures: tuple[Picture, ...] = ()
    rounds: list[Round] = []
    while isinstance(action := parse_action(text := agent.act(observation)), ToolCall):
        if action.thought:
            rounds.append(Round(request, action.thought, pictures))
            request = ""
        left = Remaining(left.calls - 1, left.frames - 1)
        lines, shown, pictures = search.follow(action)
        is_search = action.name == "clip_retrieval"
        captioned = shown if is_search else TINY.captions_text(lines)
        observation = Observation(TINY.result_text(captioned, item, left, perception), left, lines=lines)
        result = TINY.result_text(captioned if perception == "captions" else shown, item, left, perception)
        request = f"{request}\n{result}" if request else result
        pictures = () if perception == "captions" else pictures
    assert isinstance(action, Answer), text
    rounds.append(Round(request, text, pictures))
    return Exchange("seek", tuple(rounds), as_question=True)


class _Search:
    """A question with its scenes, which are generated on demand.

    Args:
        family: Question family.
        rng: Random generator.
        scenes: Source of scenes.
    """

    def __init__(self, family: str, rng: np.random.Generator, scenes: SceneSource) -> None:
        self._rng, self._scenes = rng, scenes
        self._has_print = True if family == "detail" else None
        self._kinds = random_kinds(rng, OPTIONS)
        self._found: dict[Interval, Scene] = {}
        """Scenes by interval."""
        absent = int(rng.integers(OPTIONS)) if family == "absence" else OPTIONS
        events = int(rng.integers(1, OPTIONS + 1)) if family == "counting" else 1
        self._places = {
            kind: [self._put(self._scene(kind)) for _ in range(events)]
            for idx, kind in enumerate(self._kinds)
            if idx != absent
        }
        """Intervals of each kind."""
        self.question, options = self._ask(family)
        self.options = options if family in ("needle", "detail", "absence") else self._mixed(options)

    def follow(self, call: ToolCall) -> tuple[tuple[TimedLine, ...], str, tuple[Picture, ...]]:
        """Return the result of a call: its lines (with captions for pictures), and its text with pictures."""
        if call.name == "clip_retrieval":
            colour, shape = str(call.arguments["query"]).split()
            clips = clip_lines(self._candidates((colour, shape)))
            return clips, TINY.clips_text(clips), ()
        if call.name == "spatial_zoom":
            scene, time_s = self._last, float(str(call.arguments["time_s"]))
            small_print = SubtitleLine(self._caption.interval, small_print_text(scene.detail or 0))
            captioned = spoken_lines([self._caption, small_print])
            return captioned, f"Crop at {frame_time(time_s)}.", (Picture(scene, True),)
        start_s, end_s = (float(str(call.arguments[name])) for name in ("start_s", "end_s"))
        when = Interval(start_s, end_s)
        self._last = scene = self._found[when]
        picture = Picture(scene)
        place = () if scene.detail is None else picture.place
        self._caption = SubtitleLine(when, " ".join([scene.caption, *place]))
        return spoken_lines([self._caption]), f"Frames at {frame_time(int(when.middle_s))}.", (picture,)

    def _ask(self, family: str) -> tuple[str, tuple[str, ...]]:
        """Return the question text and its options."""
        kind, *_ = self._kinds
        if family == "absence":
            return ABSENCE_TEXT, tuple(map(" ".join, self._kinds))
        if family == "ordering":
            asked = self._kinds[:3]
            in_order = sorted(asked, key=lambda it: self._places[it][0].start_s)
            return ordering_text(asked), order_options(in_order, self._rng)
        if family == "counting":
            return counting_text(*kind), tuple(str(number) for number in range(1, OPTIONS + 1))
        (when, *_) = self._places[kind]
        scene = self._found[when]
        if family == "grounding":
            wrong = [self._put(self._other(kind, is_near=bool(idx))) for idx in range(OPTIONS - 1)]
            return grounding_text(*kind), tuple(map(str, (when, *wrong)))
        if family == "detail":
            assert scene.detail is not None
            return detail_text(*kind), number_options(scene.detail, self._rng, [scene.number])
        return needle_text(*kind), number_options(scene.number, self._rng)

    def _candidates(self, kind: Kind) -> list[ScoredInterval]:
        """Rank intervals as retrieval by colour does: those of the colour first, the right ones anywhere among them."""
        near = [self._put(self._other(kind, is_near=True)) for _ in range(int(self._rng.integers(NEAR)))]
        of_colour = [*self._places.get(kind, ()), *near]
        far = [self._put(self._other(kind, is_near=False)) for _ in range(int(self._rng.integers(1, FAR)))]
        ranked = [*(of_colour[i] for i in self._rng.permutation(len(of_colour))), *far]
        scores = sorted(self._rng.uniform(0.1, 1, len(ranked)), reverse=True)
        return [ScoredInterval(when, float(score)) for when, score in zip(ranked, scores, strict=True)]

    def _put(self, scene: Scene) -> Interval:
        """Assign a scene to an unused interval."""
        while (when := random_interval(self._rng)) in self._found:
            pass
        self._found[when] = scene
        return when

    def _scene(self, kind: Kind) -> Scene:
        while scene_kind(scene := self._draw(kind)) != kind:
            pass
        return scene

    def _other(self, kind: Kind, *, is_near: bool) -> Scene:
        """Draw a distractor, of the target's colour if `is_near`, else of another."""
        while (scene := self._draw(kind)) and (scene_kind(scene) == kind or (scene.colour == kind[0]) != is_near):
            pass
        return scene

    def _draw(self, kind: Kind) -> Scene:
        return self._scenes(self._rng, colour=kind[0], shape=kind[1], small_print=self._has_print)

    def _mixed(self, options: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(options[i] for i in self._rng.permutation(len(options)))
