"""The fixture for tests of other projects' agent loops: its script does what it says, its ids are stable over turns."""

import pytest

from vt_env import ConfigError
from vt_env.testing import tiny_vlm


@pytest.mark.parametrize("task_id", ["fake/0", "fake/1", "fake/2", "fake/3"])
def test_the_replies_end_each_episode_with_the_reward_that_is_named(task_id: str):
    tiny = tiny_vlm()
    session = tiny.source.open(task_id=task_id)
    outcomes = [session.act(text) for text in tiny.replies[task_id]]
    assert [it.stop is None for it in outcomes] == [True] * (len(outcomes) - 1) + [False]
    assert sum(it.reward for it in outcomes) == tiny.rewards[task_id]


def test_a_conversation_holds_replies_unchanged_and_results_with_pictures_before_the_text():
    tiny = tiny_vlm()
    roles = [it["role"] for it in tiny.messages("fake/0")]
    assert roles == ["system", "user", "assistant", "tool", "assistant", "tool"]
    result = tiny.messages("fake/0")[3]["content"]
    assert [block["type"] for block in result] == ["image", "image", "text"]
    assert result[0]["image"].size == (112, 112)
    with pytest.raises(ConfigError):
        tiny.messages("fake/9")


@pytest.mark.slow
def test_ids_of_a_conversation_begin_with_the_ids_of_its_turns_and_the_model_goes_on_from_them():
    transformers = pytest.importorskip("transformers", reason="needs the train extra")
    tiny = tiny_vlm()
    processor = transformers.AutoProcessor.from_pretrained(tiny.folder)
    model = transformers.AutoModelForImageTextToText.from_pretrained(tiny.folder)
    messages = tiny.messages("fake/1")

    def encoded(count: int, **options):
        return processor.apply_chat_template(
            messages[:count], tools=tiny.tool_schemas, tokenize=True, return_dict=True, return_tensors="pt", **options
        )

    whole = encoded(len(messages))["input_ids"][0].tolist()
    for count in range(2, len(messages)):
        part = encoded(count)["input_ids"][0].tolist()
        assert whole[: len(part)] == part
    image_id = processor.tokenizer.convert_tokens_to_ids("<|image_pad|>")
    assert whole.count(image_id) == 2 * 16
    inputs = encoded(6, add_generation_prompt=True)
    written = model.generate(**inputs, max_new_tokens=3, do_sample=False)
    assert inputs["input_ids"].shape[1] < written.shape[1] <= inputs["input_ids"].shape[1] + 3
