"""Sampling is one record: checked, filled from the checkpoint's own settings, said in a line, and obeyed."""

import json
from pathlib import Path

import pytest

from agents.backends.own_sampling import REPLY_TOKENS, THINKING_REPLY_TOKENS, check_local, own_sampling
from agents.backends.sampling import Sampling
from experiments.settings.models import BASE_MODEL, ModelConfig, sampling_line
from vt_env.errors import ConfigError


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -1.0}, {"temperature": float("inf")}, {"temperature": float("nan")}, {"top_p": 0.0},
        {"top_p": 1.5}, {"top_k": -1}, {"min_p": 2.0}, {"presence_penalty": 3.0}, {"repetition_penalty": 0.0},
        {"stop": ("",)}, {"max_new_tokens": 0}, {"extra_body": "[]"}, {"extra_body": "{"},
    ],
    ids=str,
)  # fmt: skip
def test_a_value_out_of_range_is_refused_by_its_name(wrong: dict[str, object]):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Sampling(**wrong)


def test_fields_for_servers_are_refused_for_engines_in_this_process():
    with pytest.raises(ConfigError, match="only a server takes further fields"):
        check_local(Sampling(extra_body='{"min_tokens": 3}'))
    with pytest.raises(ConfigError, match="only a server"):
        ModelConfig(extra_body='{"min_tokens": 3}')
    assert ModelConfig(backend="openai", extra_body='{"min_tokens": 3}').extra == {"min_tokens": 3}


class Thinker:
    """A processor whose chat template knows thoughts."""

    chat_template = "{{ '<think>' }} ... {{ '</think>' }}"


def checkpoint(folder: Path, **settings: object) -> Path:
    (folder / "generation_config.json").write_text(json.dumps(settings))
    return folder


def test_what_is_not_given_is_the_checkpoint_s_own_and_a_line_says_so(tmp_path: Path):
    pytest.importorskip("transformers")
    # The file of Qwen3-VL.
    folder = checkpoint(tmp_path, do_sample=True, temperature=0.7, top_p=0.8, top_k=20, eos_token_id=[1, 2])
    own = own_sampling(folder, context_tokens=262_144)
    assert own == Sampling(0.7, 0.8, 20, max_new_tokens=REPLY_TOKENS)
    given = Sampling(temperature=1.0)
    used = given.or_else(own)
    assert used.record() == {"temperature": 1.0, "top_p": 0.8, "top_k": 20, "max_new_tokens": 2048}
    line = (
        "sampling: temperature 1.0, top_p 0.8, top_k 20, replies of up to 2048 tokens; top_p, top_k by the checkpoint"
    )
    assert sampling_line(given, used) == line


def test_a_file_that_asks_for_no_sampling_means_greedy_replies_with_its_penalty(tmp_path: Path):
    pytest.importorskip("transformers")
    own = own_sampling(checkpoint(tmp_path, temperature=0.7, top_k=20, repetition_penalty=1.05), context_tokens=4000)
    assert own == Sampling(0.0, repetition_penalty=1.05, max_new_tokens=1000)
    assert own.describe() == "greedy, repetition_penalty 1.05, replies of up to 1000 tokens"


def test_a_checkpoint_whose_template_thinks_has_room_for_thoughts(tmp_path: Path):
    pytest.importorskip("transformers")
    assert own_sampling(tmp_path, Thinker(), 262_144).max_new_tokens == THINKING_REPLY_TOKENS
    assert own_sampling(checkpoint(tmp_path, max_new_tokens=77), Thinker(), 262_144).max_new_tokens == 77


def test_the_shipped_model_replies_greedily_in_128_tokens_as_ever():
    pytest.importorskip("transformers")
    assert own_sampling(BASE_MODEL, context_tokens=4096) == Sampling(0.0, max_new_tokens=128)


def test_filters_and_penalties_leave_out_what_they_should():
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from agents.backends.logits import sampling_processors

    # Four tokens with the probabilities .5, .3, .15, .05.
    scores = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]])).repeat(64, 1)
    ids = torch.zeros(64, 3, dtype=torch.long)

    def drawn(**settings: object) -> set[int]:
        chosen: set[int] = set()
        for first in range(0, 1024, 64):
            used = sampling_processors(Sampling(1.0, **settings), range(first, first + 64), [0] * 64, 3)
            found = scores
            for it in used:
                found = it(ids, found)
            chosen |= set(found.argmax(dim=1).tolist())
        return chosen

    assert drawn() == {0, 1, 2, 3} == drawn(top_p=1.0, top_k=0, min_p=0.0)
    assert drawn(top_k=2) == {0, 1} == drawn(min_p=0.5)
    assert drawn(top_p=0.9) == {0, 1, 2}


def test_penalties_count_tokens_of_prompt_and_reply_and_no_padding():
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from agents.backends.logits import sampling_processors

    # Token 0 pads the second prompt; 1 and 2 are its text, 3 is written.
    ids = torch.tensor([[1, 1, 2, 3], [0, 1, 2, 3]])
    scores = torch.tensor([[4.0, 4.0, -4.0, 4.0, 4.0]] * 2)
    (penalise,) = sampling_processors(
        Sampling(0.0, presence_penalty=1.0, repetition_penalty=2.0), [0, 0], [0, 1], length=3
    )
    assert penalise(ids, scores).tolist() == [[4.0, 2.0, -8.0, 1.0, 4.0]] * 2
    assert sampling_processors(Sampling(0.0, presence_penalty=0.0, repetition_penalty=1.0), [0, 0], [0, 1], 3) == []
