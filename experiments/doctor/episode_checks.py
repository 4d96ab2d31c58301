"""What episodes would be played with, where each part comes from, and what does not fit the tasks or the model.

Reads the model's processor and configuration, never its weights, and of the videos their shape alone.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from experiments.doctor.doctor_run import DoctorRun
from experiments.doctor.finding import Finding
from experiments.settings.profile import picture_limits
from experiments.settings.prompts import EpisodeConfig, choose_prompts, model_prompts
from vt_env.config import MediaConfig, resolve_budget
from vt_env.errors import ConfigError
from vt_env.media.library import VideoLibrary
from vt_env.media.search.choose_encoder import HOW_TO_SEARCH
from vt_env.prompts import PromptSet, resolve_prompts
from vt_env.task_sources import load_tasks
from vt_env.tasks.task_set import TaskSet
from vt_env.tools.builtin import searches_clips, tools_for


def check_episodes(run: DoctorRun) -> Iterator[Finding]:
    """Check tasks and, where one is named, a model; the parts first.

    Raises:
        ConfigError: A flag is not allowed, or there is no such task set.
        DataError: The tasks cannot be read.
    """
    tasks = load_tasks(run.tasks, run.split)
    library = run.open_library()
    prompts = choose_prompts(run.prompts, run.known_model, other=resolve_prompts(run.chosen.prompts))
    yield _profile(run, tasks)
    yield _pictures(run)
    yield _budget(run)
    yield _tools(run, library, tasks, prompts)
    yield _prompts(run, prompts)
    yield _search(run, library, tasks)
    if run.model:
        yield from _model(run)


def _part(name: str, what: str, flag: str, *, given: bool, profile: str) -> Finding:
    return Finding(name, True, f"{what} ({flag if given else f'profile {profile}'})")


def _profile(run: DoctorRun, tasks: TaskSet) -> Finding:
    worlds = sum(it.world > 0 for it in tasks.videos)
    why = f"{worlds} of {len(tasks.videos)} videos are of the generated world"
    return Finding("profile", True, f"{run.chosen.name} ({'--profile' if run.profile else why})")


def _pictures(run: DoctorRun) -> Finding:
    media, limits = run.chosen.media, picture_limits(run.known_model)
    wide = media.frame_size_px((1920, 1080))
    tokens = wide[0] * wide[1] // media.patch_px**2
    what = f"up to {media.max_pixels:,} pixels, a 16:9 frame {wide[0]} x {wide[1]} = {tokens} image tokens"
    flags = ", ".join(f"--media.{name.replace('_', '-')}" for name in run.media.given)
    source = flags or f"profile {run.chosen.name}"
    if limits is not None and run.chosen.frame_tokens is not None:
        source += f", in the model's patches of {limits.patch_px}"
    return Finding("pictures", True, f"{what} ({source})")


def _budget(run: DoctorRun) -> Finding:
    budget = resolve_budget(run.chosen.budget)
    looks = f"{budget.frames_per_zoom} a look, {budget.global_frames} with the question"
    what = f"{run.chosen.budget}: {budget.max_calls} calls, {budget.max_frames} frames, {looks}"
    return _part("budget", what, "--budget", given=run.budget is not None, profile=run.chosen.name)


def _tools(run: DoctorRun, library: VideoLibrary, tasks: TaskSet, prompts: PromptSet) -> Finding:
    searched = any(library.sources_of(it) for it in tasks.videos)
    offered = tools_for(run.perception, run.offered, can_search=searched, answers=prompts.answers)
    names = ", ".join(tool.name for tool in offered) or "none"
    return _part("tools", names, "--tools", given=run.tools is not None, profile=run.chosen.name)


def _prompts(run: DoctorRun, prompts: PromptSet) -> Finding:
    flag = "--prompts" if run.prompts is not None else "the model's folder"
    given = run.prompts is not None or model_prompts(run.known_model) is not None
    return _part("prompts", prompts.id, flag, given=given, profile=run.chosen.name)


def _search(run: DoctorRun, library: VideoLibrary, tasks: TaskSet) -> Finding:
    """Say which sources clip retrieval has in how many videos; without any it is not offered."""
    found = Counter(" and ".join(library.sources_of(it)) or "nothing" for it in tasks.videos)
    counted = ", ".join(f"{sources} in {count} of {len(tasks.videos)} videos" for sources, count in found.items())
    given = "--encoder" if run.encoder is not None else f"profile {run.chosen.name}"
    what = f"clip retrieval searches {counted} (encoder {run.chosen.encoder}, {given})"
    offered = tools_for(run.perception, run.chosen.tools)
    if "nothing" not in found or not any(map(searches_clips, offered)):
        return Finding("search", True, what)
    remedy = f"pictures are not searched, since {library.encoders.why_none}"
    remedy += "" if HOW_TO_SEARCH in remedy else f"; {HOW_TO_SEARCH}"
    return Finding("search", False, f"{what}: {remedy}, or add --screen-text", is_needed=True)


def _model(run: DoctorRun) -> Iterator[Finding]:
    # Transformers takes seconds to import.
    from agents.backends.load import load_processor

    try:
        processor = load_processor(run.model)
    except ConfigError as reason:
        yield Finding("model", False, str(reason), is_needed=True)
        return
    yield Finding("template", True, f"{run.model}: shows tools, calls and their results")
    yield _processor(run, processor)
    yield _reply(run, processor)
    yield from _context(run)


def _processor(run: DoctorRun, processor: Any) -> Finding:
    from experiments.settings.token_budget import check_frame_size

    media: MediaConfig = run.chosen.media
    if run.perception == "captions":
        return Finding("processor", True, "no pictures are shown")
    if processor.image_token is None:
        remedy = "give --perception captions, or a vision-language model"
        return Finding("processor", False, f"{run.model} reads no pictures: {remedy}", is_needed=True)
    try:
        check_frame_size(processor, media)
    except ConfigError as reason:
        return Finding("processor", False, str(reason), is_needed=True)
    return Finding("processor", True, f"takes these pictures as they are, patches of {media.patch_px} pixels")


def _reply(run: DoctorRun, processor: Any) -> Finding:
    from agents.backends.own_sampling import own_sampling
    from experiments.settings.models import context_of

    own = own_sampling(run.model, processor, run.context_tokens or context_of(run.model), run.chosen.reply_tokens)
    is_profile = own.max_new_tokens == run.chosen.reply_tokens
    source = f"profile {run.chosen.name}" if is_profile else "the checkpoint, its template or its context"
    return Finding("reply", True, f"up to {own.max_new_tokens} tokens ({source})")


def _context(run: DoctorRun) -> Iterator[Finding]:
    """Compare what an episode can cost, as `vt-env tokens` counts it, with the context of the model."""
    from experiments.evaluate.tokens import TokensRun, count

    shared = {it.name: getattr(run, it.name) for it in fields(EpisodeConfig)}
    own = {name: getattr(run, name) for name in ("split", "perception", "budget", "tools", "context_tokens")}
    counted, notes = count(TokensRun(tasks=run.tasks, model=run.model, **shared, **own))
    yield from (Finding("videos", False, note, is_needed=True) for note in notes)
    pictures = sum(part.total for part in counted.parts if "picture" in part.name or "image" in part.name)
    replies = sum(part.total for part in counted.parts if part.name == "replies")
    what = f"an episode costs up to {counted.total:,} tokens, {pictures:,} of pictures and {replies:,} of replies"
    if counted.context_tokens is None:
        yield Finding("context", True, f"{what}; the model's context is not known: give --context-tokens")
    elif counted.fits:
        yield Finding("context", True, f"{what}, within the model's {counted.context_tokens:,}")
    else:
        remedy = "lower the calls or frames of --budget, or --media.max-pixels; vt-env tokens shows every part"
        yield Finding("context", False, f"{what}, above the model's {counted.context_tokens:,}: {remedy}", True)
