"""`vt-env tokens`: what an episode can cost, by part, with a model's own processor."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.videos import VideoSpec, write_video

from agents.backends.load import load_processor
from experiments.cli import run
from experiments.settings.episode_tokens import EpisodeTokens, count_episode_tokens
from experiments.settings.models import BASE_MODEL
from experiments.settings.picture_sizes import native_sizes_px
from vt_env.config import BudgetConfig, EnvConfig, MediaConfig
from vt_env.prompts import TINY
from vt_env.task_sources import load_tasks
from vt_env.testing import tiny_vlm
from vt_env.tools.builtin import tools_for


@pytest.fixture(scope="module")
def processor() -> Any:
    return load_processor(str(BASE_MODEL))


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tasks")
    rows = []
    for name, size_px in {"wide": (320, 180), "wide2": (320, 180), "tall": (180, 320)}.items():
        write_video(folder / f"{name}.mp4", VideoSpec(size_px=size_px, frames=10))
        rows.append({"video": f"{name}.mp4", "question": "what is it?", "options": ["one", "two"]})
    (folder / "thin").mkdir()
    Image.new("RGB", (1, 4000)).save(folder / "thin" / "000.png")
    rows.append({"video": "thin", "question": "what is it?", "options": ["one", "two"]})
    (folder / "broken.mp4").write_text("no video")
    rows.append({"video": "broken.mp4", "question": "what is it?", "options": ["one", "two"]})
    (folder / "tasks.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder / "tasks.jsonl"


def counted(processor: Any, config: EnvConfig, tools: str = "default", **known: Any) -> EpisodeTokens:
    offered = tools_for(config.perception, tools)
    return count_episode_tokens(
        processor, list(tiny_vlm().source.tasks), config, offered, {(112, 112): 1}, **{"reply_tokens": 40, **known}
    )


def of(found: EpisodeTokens, name: str) -> int:
    return sum(part.total for part in found.parts if name in part.name)


def test_a_real_conversation_is_within_the_count_and_its_images_are_as_counted(processor):
    tiny = tiny_vlm()
    source = tiny.source
    found = count_episode_tokens(
        processor, list(source.tasks), source.config, source.tools, {(112, 112): 1}, reply_tokens=60
    )
    session = source.open(task_id="fake/0")
    looks = ['<tool_call>\n{"name": "frame_zoom", "arguments": {"start_s": %d, "end_s": %d}}\n</tool_call>'] * 3
    replies = [text % (at, at + 20) for at, text in enumerate(looks)]
    observations = [session.opening, *(session.act(text).observation for text in replies)]
    from vt_env.episode.messages import conversation_messages

    messages = conversation_messages(source.config.prompts.system_text(), observations, replies)
    ids = processor.apply_chat_template(messages, tools=tiny.tool_schemas, tokenize=True, return_dict=False)[0]
    image_token = processor.tokenizer.convert_tokens_to_ids(processor.image_token)
    assert ids.count(image_token) == of(found, "pictures") - of(found, "marks") == session.episode.image_tokens
    assert of(found, "system") + of(found, "question") < len(ids) <= found.total


@pytest.mark.parametrize("tools", ["default", "paper", "adaptive"])
def test_a_limit_of_image_tokens_bounds_the_pictures(processor, tools):
    free = counted(processor, EnvConfig(budget=BudgetConfig()), tools)
    bound = counted(processor, EnvConfig(budget=BudgetConfig(max_image_tokens=100)), tools)
    assert of(free, "pictures") - of(free, "marks") == 64 * 16 and of(bound, "image tokens") == 100
    # The policy is told of the limit, in a few tokens more for each observation.
    assert bound.total < free.total


def test_what_a_policy_does_not_see_costs_nothing(processor):
    blind = counted(processor, EnvConfig(budget=BudgetConfig()), "none")
    assert [part.name for part in blind.parts] == ["system prompt and tools", "question", "replies"]
    assert of(blind, "replies") == 40 and not blind.results
    reader = counted(processor, EnvConfig("captions", prompts=TINY))
    assert not of(reader, "pictures") and "caption_zoom" in {part.name for part in reader.results}


def test_an_episode_fits_where_its_parts_do(processor):
    config = EnvConfig(budget=BudgetConfig())
    total = counted(processor, config).total
    assert total == sum(part.tokens * part.count for part in counted(processor, config).parts)
    assert counted(processor, config, context_tokens=total).fits
    assert counted(processor, config, context_tokens=total - 1).fits is False
    assert counted(processor, config).fits is None


def test_frames_are_counted_at_the_shapes_of_the_videos(tasks, capsys):
    assert run(["tokens", str(tasks), "--model", str(BASE_MODEL), "--encoder", "none", "--json"]) in (0, 1)
    out, err = capsys.readouterr()
    found = json.loads(out)
    shapes = [(it["native_px"], it["videos"], it["shown_px"], it["tokens"]) for it in found["pictures"]]
    media = MediaConfig()
    wide, tall = (list(media.frame_size_px(it)) for it in ((320, 180), (180, 320)))
    assert shapes == [([320, 180], 2, wide, 15), ([180, 320], 1, tall, 15)]
    assert all(it["tokens"] == it["counted"] for it in found["pictures"])
    assert found["total"] == sum(part["total"] for part in found["parts"]) and found["context_tokens"] == 4096
    lines = [line for line in err.splitlines() if line.startswith("not counted: ")]
    assert len(lines) == 2 and "1x4000, one side more than 200 times the other" in lines[0] and "broken.mp4" in lines[1]


@pytest.mark.parametrize(("name", "found"), [("talks", {(640, 360): 12}), ("world/needle", {(224, 224): 60})])
def test_the_shapes_of_generated_videos_are_known_before_they_are_written(name, found, tmp_path, monkeypatch):
    monkeypatch.setenv("VT_ENV_CACHE", str(tmp_path))
    assert native_sizes_px(load_tasks(name, "test")) == (found, [])
    assert not list(tmp_path.iterdir())


def test_the_table_names_the_parts_and_a_processor_that_resizes_is_told(tasks, capsys):
    flags = ["--encoder", "none", "--media.patch-px", "32", "--media.min-pixels", "1024"]
    code = run(["tokens", str(tasks), "--model", str(BASE_MODEL), *flags, "--context-tokens", "100000"])
    out, err = capsys.readouterr()
    assert code == 0 and "| system prompt and tools |" in out and "fits, context 100,000" in out
    assert "the model's processor counts" in err and "--media.patch-px" in err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--model", "no/such/folder/at/all"], "no checkpoint with a processor"),
        (["--model", str(BASE_MODEL), "--budget", "default,max_image_tokens=15"], "give 16 or more"),
        (["--model", str(BASE_MODEL), "--budget", "default,max_image_tokens=few"], "need a whole number"),
        (["--model", str(BASE_MODEL), "--reply-tokens", "0"], "reply_tokens=0: need 1 or more"),
        (["--model", str(BASE_MODEL), "--split", "none"], "split='none'"),
    ],
    ids=["model", "budget", "number", "reply", "split"],
)
def test_wrong_input_is_refused_in_one_line(tasks, flags, said, capsys):
    assert run(["tokens", str(tasks), "--encoder", "none", *flags]) == 2
    err = capsys.readouterr().err.strip()
    assert said in err and "\n" not in err
