"""Episodes and evaluation runs that tests of reports write by hand."""

from dataclasses import asdict, replace
from pathlib import Path

from experiments.evaluate.eval import EvalRun
from experiments.runs.run_dir import open_run
from vt_env.budget.remaining import Remaining
from vt_env.episode.trajectory import Trajectory, TurnRecord
from vt_env.types import StopReason

ANSWER_TURN = TurnRecord("<answer>47</answer>", None, "The episode is over.")


def episode(task_idx: int, video_idx: int, correct: bool, **changes) -> Trajectory:
    record = Trajectory(
        task_id=f"task-{task_idx:03d}",
        video_handle=f"video-{video_idx:02d}",
        question="What number?",
        options=("47", "52"),
        prompt_text="",
        perception="frames",
        turns=(ANSWER_TURN,),
        remaining=Remaining(8, 16),
        stop=StopReason.ANSWERED,
        answer="47" if correct else "52",
        correct=correct,
        family="needle",
    )
    return replace(record, **changes)


def write_eval(folder: Path, agent: str, correct: list[bool], turns=(ANSWER_TURN,), **changes) -> Path:
    config = EvalRun(agent=agent, out=folder, **changes)
    with open_run(folder, "eval", config) as run:
        for n, is_correct in enumerate(correct):
            run.journal(asdict(episode(n, n % 6, is_correct, turns=turns)))
    return folder
