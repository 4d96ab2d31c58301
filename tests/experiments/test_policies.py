"""Language models as rows of the table: one turn or many, and an honest count of what they cannot answer."""

from dataclasses import replace

import pytest

from experiments.analysis.accuracy import policy_row
from experiments.evaluate.eval import EvalRun, play
from experiments.settings.models import ModelConfig
from experiments.settings.policies import SeededAttempt, Setting, build_policy, layout_of
from vt_env.testing import FakeLibrary, fake_task
from vt_env.types import StopReason

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> ModelConfig:
    """A tiny model with random weights: it writes, but never an answer."""
    from experiments.tiny_model.model import build_model
    from experiments.tiny_model.processor import build_processor

    folder, processor = tmp_path_factory.mktemp("checkpoint"), build_processor()
    build_model(processor.tokenizer, seed=3).save_pretrained(folder)
    processor.save_pretrained(folder)
    return ModelConfig(path=str(folder), max_new_tokens=6, uniform_frames=5)


def played_by(name, model, count=2, **choices):
    run = EvalRun(agent=name, model=model, **choices)
    policy = build_policy(name, model, Setting(), run.gate)
    attempts = [SeededAttempt(fake_task(task_id=f"task-{n}"), seed=n) for n in range(count)]
    return policy, sorted(play(policy, attempts, FakeLibrary(), run), key=lambda it: it.task_id)


def texts(episode):
    return [turn.text for turn in episode.turns]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "frames"), [("blind", 0), ("uniform", 5)])
def test_a_one_turn_policy_sees_its_frames_at_once_and_has_no_tools(model, name, frames):
    policy, episodes = played_by(name, model)
    assert policy.layout.tools == ()
    assert [len(it.frames) for it in episodes] == [frames] * 2
    assert all(it.turns[0].text == it.turns[-1].text for it in episodes)


@pytest.mark.slow
def test_what_a_model_without_the_format_writes_counts_as_no_answer(model):
    _, episodes = played_by("base", model, count=3)
    row = policy_row("base", episodes)
    assert (row.n, row.accuracy, row.no_answer_rate) == (3, 0.0, 1.0)
    assert {it.stop for it in episodes} == {StopReason.OUT_OF_CALLS} and row.invalid_rate > 0.8


@pytest.mark.slow
def test_a_reply_depends_on_the_seed_of_its_episode_only_where_it_is_sampled(model):
    _, (first, second) = played_by("base", model)
    assert texts(first) == texts(second)
    _, (first, second) = played_by("base", replace(model, temperature=1.0))
    assert texts(first) != texts(second)


@pytest.mark.slow
def test_a_folder_without_a_checkpoint_is_refused_in_one_line(tmp_path):
    from vt_env.errors import ConfigError

    with pytest.raises(ConfigError, match="no checkpoint with a processor") as refusal:
        build_policy("sft", ModelConfig(path=str(tmp_path)))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", ["retrieval-only", "always-tools", "gated"])
def test_a_policy_that_retrieves_clips_by_itself_is_refused_where_none_can_be_searched(name):
    from vt_env.errors import ConfigError

    setting = Setting(can_search=False)
    assert "clip_retrieval" not in [tool.name for tool in layout_of("full", ModelConfig(), setting).tools]
    with pytest.raises(ConfigError, match="none of these videos can be searched") as refusal:
        layout_of(name, ModelConfig(), setting)
    assert "\n" not in str(refusal.value)


@pytest.mark.slow
def test_frames_that_a_model_would_see_in_another_size_are_refused_and_captions_are_not(model):
    from vt_env.config import MediaConfig
    from vt_env.errors import ConfigError

    odd = Setting(media=MediaConfig(max_pixels=64 * 64, patch_px=32))
    with pytest.raises(ConfigError, match="patch_px=32: this model's image processor takes frames of 784 to 12544"):
        build_policy("full", model, odd)
    assert build_policy("caption-only", model, odd).layout.media.patch_px == 32


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "calls"),
    [
        ("retrieval-only", ["clip_retrieval", *["frame_zoom"] * 3, None]),
        ("gated", ["clip_retrieval", *["frame_zoom"] * 3, *[None] * 11]),
        ("caption-only", [None] * 9),
        ("always-tools", [None] * 9),
        ("full", [None] * 9),
    ],
)
def test_every_kind_of_model_policy_plays_and_says_what_its_replies_took(model, name, calls):
    # The fake video is as long as a long one, and three of its clips match the question.
    policy, (episode,) = played_by(name, model, count=1)
    made = [turn.call and turn.call.name for turn in episode.turns]
    assert made[: len(calls)] == calls[: len(made)]
    written = [turn for turn in episode.turns if turn.call is None]
    asked = [turn.reply for turn in written if turn.reply is not None]
    assert asked and all(it.prompt_tokens > 0 and 0 < it.completion_tokens <= 6 for it in asked)
    assert all(it.mean_logprob < 0 and it.answer_logprob is None for it in asked)
    assert episode.perception == policy.layout.perception == ("captions" if name == "caption-only" else "frames")
    assert (episode.gate is not None) == (name == "gated")


@pytest.mark.slow
def test_the_gate_cannot_stand_before_itself_or_before_what_has_one_turn(model):
    from agents.language.confidence_gate import GateConfig
    from vt_env.errors import ConfigError

    for agent, reason in (("gated", "need a policy that continues"), ("caption-only", "reads captions")):
        with pytest.raises(ConfigError, match=reason):
            build_policy("gated", model, Setting(), GateConfig(agent=agent))


TEXT_TEMPLATE = (
    "{% if tools %}<|im_start|>system\n{{ tools | tojson }}<|im_end|>\n{% endif %}{% for m in messages %}"
    "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="module")
def text_model(tmp_path_factory) -> ModelConfig:
    """A text-only model with random weights, and a chat template that knows tools."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from experiments.tiny_model.processor import build_processor

    folder, tokenizer = tmp_path_factory.mktemp("text"), build_processor().tokenizer
    tokenizer.chat_template = TEXT_TEMPLATE
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = Qwen2Config(vocab_size=len(tokenizer), num_key_value_heads=2, max_position_embeddings=4096, **sizes)
    Qwen2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return ModelConfig(path=str(folder), max_new_tokens=6)


@pytest.mark.slow
def test_a_text_only_checkpoint_plays_what_is_read_and_is_refused_what_is_seen(text_model):
    from vt_env.errors import ConfigError

    for name in ("caption-only", "blind"):
        _, episodes = played_by(name, text_model)
        assert [it.invalid for it in episodes] == [None, None]
        assert all(it.replies[0].completion_tokens == 6 and it.tokens.images == 0 for it in episodes)
    with pytest.raises(ConfigError, match=r"a text-only model reads no frames; play --agent caption-only or blind"):
        build_policy("full", text_model)


@pytest.mark.slow
def test_a_text_only_checkpoint_whose_template_shows_no_tools_is_refused(text_model, tmp_path):
    from transformers import AutoTokenizer

    from agents.backends.text_processor import TextProcessor
    from vt_env.errors import ConfigError

    tokenizer = AutoTokenizer.from_pretrained(text_model.path)
    for template, said in (("{{ messages[0].content }}", "shows no tools"), ("{{ raise_exception('no') }}", "refuses")):
        tokenizer.chat_template = template
        with pytest.raises(ConfigError, match=said):
            TextProcessor(tokenizer)


@pytest.mark.slow
def test_a_context_that_runs_full_ends_the_episode_with_its_own_status(model):
    _, (episode,) = played_by("base", replace(model, max_new_tokens=3900), count=1)
    assert (episode.stop, episode.errors, episode.correct) == (StopReason.CONTEXT_FULL, (), False)
    assert policy_row("base", [episode]).status == {"context": 1}


@pytest.mark.slow
def test_several_attempts_of_a_checkpoint_that_is_greedy_are_refused_once_that_is_known(model, tmp_path):
    from experiments.evaluate.eval import evaluate
    from vt_env.errors import ConfigError

    run = EvalRun(agent="base", model=model, samples=2, n=1, tasks="world/needle", split="test", out=tmp_path)
    with pytest.raises(ConfigError, match="all attempts would be the same"):
        evaluate(run)
