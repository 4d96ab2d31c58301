"""Token ids of a conversation are what TRL's GRPO would feed the same model, and both backends continue them alike."""

import json
import shutil
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from agents.backends.generator import Completion, TokenSequence
from agents.backends.sampling import Sampling
from agents.base import Conversation
from agents.language.one_turn import OneTurnPolicy
from agents.language.token_policy import ChatPolicy, ChatTokens, images_of
from vt_env.actions.decode_reply import ReplyDecoder
from vt_env.actions.parse import parse_action
from vt_env.budget.remaining import Remaining
from vt_env.episode.reply_record import ReplyEnd
from vt_env.errors import ConfigError
from vt_env.integrations.trl.several_results import check_several_results
from vt_env.prompts import SETS, TINY
from vt_env.testing import fake_task
from vt_env.types import FrameBatch, Malformed, Observation

pytest.importorskip("transformers")

pytestmark = pytest.mark.slow

conversation_of = partial(Conversation, prompts=TINY)
ITEM = replace(fake_task().item, duration_s=600.0)
SCHEMAS = [
    {
        "type": "function",
        "function": {"name": name, "description": name, "parameters": {"type": "object", "properties": {}}},
    }
    for name in ("frame_zoom", "clip_retrieval")
]


@pytest.fixture(scope="module")
def processor():
    from experiments.tiny_model.processor import build_processor

    return build_processor()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, processor):
    from experiments.tiny_model.model import build_model

    folder = tmp_path_factory.mktemp("checkpoint")
    build_model(processor.tokenizer, seed=3).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def opening(text="Question: what number is beside the red square?") -> Observation:
    return Observation(text, Remaining(8, 16))


def looked(frame_count: int) -> Observation:
    pixels = np.random.default_rng(frame_count).integers(0, 256, (frame_count, 112, 112, 3), dtype=np.uint8)
    frames = FrameBatch(pixels, np.arange(frame_count, dtype=np.float64))
    return Observation("Frames at 00:00.", Remaining(7, 14), frames)


class Parrot:
    """A generator that says what it is told and remembers what it read."""

    context_tokens, max_new_tokens = 400, 20

    def __init__(self, tokens, lines):
        self.tokens, self.lines, self.read = tokens, iter(lines), []

    def generate(self, sequences, seeds):
        pairs = zip(sequences, seeds, strict=True)
        self.read.append([(list(sequence.ids), len(sequence.images), seed) for sequence, seed in pairs])
        line = next(self.lines)
        return [Completion(self.tokens.reply_ids(line)) for _ in sequences]


def texts(policy, *conversations):
    return [reply.text for reply in policy.act(conversations)]


def test_the_ids_of_two_turns_are_the_ids_of_the_whole_rendered_conversation(processor):
    tokens = ChatTokens(processor, SCHEMAS)
    conversation = conversation_of(0, ITEM, [opening(), looked(2)], ["look at 05:20-05:40"])
    messages = conversation.messages(TINY.system_text())
    pieces = tokens.prompt_ids(messages[:2]) + tokens.reply_ids("look at 05:20-05:40") + tokens.result_ids(messages[-1])
    in_order = sorted(SCHEMAS, key=lambda schema: schema["function"]["name"])
    whole = processor.apply_chat_template(
        messages, tools=in_order, tokenize=True, return_dict=False, add_generation_prompt=True
    )
    assert pieces == whole[0]
    assert len(images_of(messages)) == 2


def test_a_policy_keeps_the_ids_that_the_model_wrote_and_adds_only_the_result(processor):
    tokens = ChatTokens(processor, SCHEMAS)
    parrot = Parrot(tokens, ["first reply", "second reply"])
    policy = ChatPolicy(tokens, parrot, seeds=range(6))
    conversation = conversation_of(5, ITEM, [opening()])
    conversation.replies += texts(policy, conversation)
    assert conversation.replies == ["first reply"]
    conversation.observations.append(looked(1))
    assert texts(policy, conversation) == ["second reply"]
    (first_ids, first_images, first_seed), (second_ids, second_images, second_seed) = (
        parrot.read[0][0],
        parrot.read[1][0],
    )
    assert second_ids[: len(first_ids)] == first_ids
    assert second_ids[len(first_ids) :][: len(tokens.reply_ids("first reply"))] == tokens.reply_ids("first reply")
    assert (first_images, second_images) == (0, 1) and first_seed != second_seed


def test_a_conversation_that_no_longer_fits_gets_an_empty_reply_and_the_others_go_on(processor):
    tokens = ChatTokens(processor, SCHEMAS)
    policy = ChatPolicy(tokens, Parrot(tokens, ["here"]), seeds=range(2))
    too_long, short = policy.act(
        [conversation_of(0, ITEM, [opening("word " * 300)]), conversation_of(1, ITEM, [opening()])]
    )
    assert (too_long.text, too_long.record.ended) == ("", ReplyEnd.CONTEXT)
    assert (short.text, short.record.ended) == ("here", ReplyEnd.STOP)
    assert too_long.record.prompt_tokens > 380 and too_long.record.completion_tokens == 0


@pytest.mark.parametrize("prompts", SETS.values(), ids=SETS)
def test_a_policy_with_one_turn_is_told_to_answer_and_repeats_its_reply(processor, prompts):
    tokens = ChatTokens(processor, [])
    parrot = Parrot(tokens, ["only reply"])
    policy = OneTurnPolicy(ChatPolicy(tokens, parrot, seeds=[0]))
    conversation = conversation_of(0, ITEM, [opening("Question: what?")], prompts=prompts)
    conversation.replies += texts(policy, conversation)
    conversation.observations.append(opening("Error: no tool"))
    assert texts(policy, conversation) == ["only reply"]
    read = processor.tokenizer.decode(parrot.read[0][0][0])
    assert len(parrot.read) == 1 and f"{prompts.budget_spent}<|im_end|>" in read
    assert prompts.system_without_tools in read


def several(*counts: int) -> Observation:
    """What a reply with several calls led to."""
    return Observation("joined", Remaining(5, 9), results=tuple(looked(count) for count in counts))


def test_results_of_several_calls_are_rendered_one_message_each_with_their_pictures(processor):
    tokens = ChatTokens(processor, SCHEMAS)
    parrot = Parrot(tokens, ["two calls", "second reply"])
    policy = ChatPolicy(tokens, parrot, seeds=range(1))
    conversation = conversation_of(0, ITEM, [opening()])
    conversation.replies += texts(policy, conversation)
    conversation.observations.append(several(1, 0, 2))
    texts(policy, conversation)
    ids, images, _ = parrot.read[1][0]
    messages = conversation.messages(TINY.system_text())
    assert [it["role"] for it in messages] == ["system", "user", "assistant", "tool", "tool", "tool"]
    in_order = sorted(SCHEMAS, key=lambda schema: schema["function"]["name"])
    whole = processor.apply_chat_template(
        messages, tools=in_order, tokenize=True, return_dict=False, add_generation_prompt=True
    )
    assert ids == whole[0] and images == 3


def test_a_template_that_cannot_show_several_results_is_refused_in_one_line():
    from experiments.tiny_model.processor import build_processor

    other = build_processor()
    # Shows the last result alone.
    other.chat_template = other.chat_template.replace("{%- for message in messages", "{%- for message in messages[-1:]")
    assert other.chat_template != build_processor().chat_template
    with pytest.raises(ConfigError, match=r"cannot show several results of one reply; .*max_parallel_calls=1"):
        check_several_results(other)
    check_several_results(build_processor())


def test_special_tokens_that_mark_a_call_are_kept_and_others_are_not():
    from experiments.tiny_model.processor import build_processor

    tokenizer = build_processor().tokenizer
    tokenizer.add_special_tokens({"additional_special_tokens": ["[TOOL_CALLS]", "<aside>"]})
    decoder = ReplyDecoder(tokenizer)
    for text in ('[TOOL_CALLS][{"name": "a"}]', "no call"):
        ids = tokenizer(f"<aside>{text}")["input_ids"] + [tokenizer.eos_token_id]
        assert decoder.decode(ids) == text


def test_a_thought_that_the_template_opens_and_the_model_never_ends_is_malformed(processor, monkeypatch):
    opened = processor.chat_template.replace("<|im_start|>assistant\\n' }}", "<|im_start|>assistant\\n<think>\\n' }}")
    assert opened != processor.chat_template
    monkeypatch.setattr(processor, "chat_template", opened)
    tokens = ChatTokens(processor, SCHEMAS)
    cut, whole = (
        tokens.describe(Completion(ids), [], 0)
        for ids in (tokens.reply_ids("or <answer>B</answer>")[:-1], tokens.reply_ids("hm</think><answer>B</answer>"))
    )
    assert (cut.text, cut.record.ended) == ("<think>\nor <answer>B</answer>", ReplyEnd.LENGTH)
    assert isinstance(parse_action(cut.text), Malformed)
    assert (whole.text, whole.record.ended) == ("hm</think><answer>B</answer>", ReplyEnd.STOP)


def test_a_stop_text_ends_a_reply_and_the_turn(processor, checkpoint):
    from agents.backends.transformers_generate import TransformersGenerator

    sequences = two_turns(processor, conversation_of(0, ITEM, [opening(), looked(1)], ["look"]))
    plain = TransformersGenerator(checkpoint, processor, Sampling(max_new_tokens=8)).generate(sequences, [0, 0])
    tokens = ChatTokens(processor, SCHEMAS)
    stop = tokens.reply_text(plain[0].ids[2:3])
    settings = Sampling(stop=(stop,), max_new_tokens=8)
    stopped = TransformersGenerator(checkpoint, processor, settings).generate(sequences, [0, 0])
    assert stopped[0].is_stopped and len(stopped[0]) <= 3
    assert stopped[0].ids == plain[0].ids[: len(stopped[0])] and tokens.reply_text(stopped[0].ids).endswith(stop)
    assert tokens.describe(stopped[0], [], 0).record.ended is ReplyEnd.STOP


def two_turns(processor, conversation):
    """Token sequences of one conversation after its first and its second observation."""
    tokens = ChatTokens(processor, SCHEMAS)
    messages = conversation.messages(TINY.system_text())
    first = tokens.prompt_ids(messages[:2])
    second = first + tokens.reply_ids(conversation.replies[0]) + tokens.result_ids(messages[-1])
    return [TokenSequence(first), TokenSequence(second, images_of(messages))]


def test_a_sampled_reply_does_not_depend_on_its_neighbours_in_the_batch(processor, checkpoint):
    from agents.backends.transformers_generate import TransformersGenerator

    model = TransformersGenerator(checkpoint, processor, Sampling(temperature=1.0, max_new_tokens=8))
    sequences = two_turns(processor, conversation_of(0, ITEM, [opening(), looked(1)], ["look"]))
    together = model.generate(sequences, seeds=[11, 12])
    alone = [model.generate([sequences[n]], seeds=[11 + n])[0] for n in range(2)]
    assert [it.ids for it in together] == [it.ids for it in alone]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one.logprobs, other.logprobs, atol=1e-4)
    assert [it.ids for it in together] != [it.ids for it in model.generate(sequences, seeds=[13, 14])]


def test_log_probabilities_are_those_of_one_forward_pass_over_the_whole_text(processor, checkpoint):
    import torch
    from transformers import AutoModelForImageTextToText

    from agents.backends.transformers_generate import TransformersGenerator

    sequence = TokenSequence(
        ChatTokens(processor, []).prompt_ids(conversation_of(0, ITEM, [opening()]).messages(TINY.system_text()))
    )
    (written,) = TransformersGenerator(checkpoint, processor, Sampling(temperature=1.0, max_new_tokens=5)).generate(
        [sequence], [4]
    )
    whole = torch.tensor([sequence.ids + written.ids])
    with torch.inference_mode():
        logits = AutoModelForImageTextToText.from_pretrained(checkpoint).eval()(input_ids=whole).logits[0]
    expected = torch.log_softmax(logits[len(sequence.ids) - 1 : -1], dim=-1)
    chosen = [float(expected[number, token]) for number, token in enumerate(written.ids)]
    np.testing.assert_allclose(written.logprobs, chosen, atol=1e-4)


def test_an_engine_samples_as_it_is_told_whatever_penalty_its_checkpoint_asks_for(processor, checkpoint, tmp_path):
    from agents.backends.transformers_generate import TransformersGenerator

    shutil.copytree(checkpoint, tmp_path / "model")
    (tmp_path / "model" / "generation_config.json").write_text(json.dumps({"repetition_penalty": 5.0}))
    sequences = two_turns(processor, conversation_of(0, ITEM, [opening(), looked(1)], ["look"]))
    plain, asked = (
        TransformersGenerator(path, processor, Sampling(max_new_tokens=6)).generate(sequences, seeds=[0, 0])
        for path in (checkpoint, tmp_path / "model")
    )
    assert plain == asked


def test_a_conversation_that_others_began_is_read_as_if_the_model_had_written_it(processor):
    tokens = ChatTokens(processor, SCHEMAS)
    conversation = conversation_of(3, ITEM, [opening(), looked(2), looked(1)], ["first call", "second call"])
    parrot = Parrot(tokens, ["answer"])
    assert texts(ChatPolicy(tokens, parrot, seeds=range(4)), conversation) == ["answer"]
    messages = conversation.messages(TINY.system_text())
    in_order = sorted(SCHEMAS, key=lambda schema: schema["function"]["name"])
    options = {"tokenize": True, "return_dict": False, "add_generation_prompt": True}
    ((ids, images, _),) = parrot.read[0]
    assert ids == processor.apply_chat_template(messages, tools=in_order, **options)[0] and images == 3


def test_both_backends_take_the_same_likeliest_tokens_after_an_image(processor, checkpoint):
    pytest.importorskip("vllm")
    from agents.backends.transformers_generate import TransformersGenerator
    from agents.backends.vllm_generate import EngineLimits, VllmGenerator

    conversations = [conversation_of(n, ITEM, [opening(), looked(n + 1)], ["look at 05:20-05:40"]) for n in range(2)]
    sequences = [sequence for conversation in conversations for sequence in two_turns(processor, conversation)]
    seeds = [0] * len(sequences)
    expected = TransformersGenerator(checkpoint, processor, Sampling(max_new_tokens=12)).generate(sequences, seeds)
    engine = VllmGenerator(
        checkpoint, processor, Sampling(max_new_tokens=12), limits=EngineLimits(3, context_tokens=1024)
    )
    assert engine.context_tokens == 1024
    got = engine.generate(sequences, seeds)
    assert [it.ids for it in got] == [it.ids for it in expected]
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one.logprobs, other.logprobs, atol=1e-3)
    assert len({tuple(it.ids) for it in expected}) > 1, "the prompts must matter"


def test_an_unused_image_is_never_written(processor, checkpoint):
    from agents.backends.transformers_generate import TransformersGenerator

    model = TransformersGenerator(checkpoint, processor, Sampling(max_new_tokens=4))
    reply = model.generate(
        two_turns(processor, conversation_of(0, ITEM, [opening(), looked(1)], ["look"])), seeds=[0, 0]
    )
    image_token = processor.tokenizer.convert_tokens_to_ids("<|image_pad|>")
    assert all(image_token not in completion.ids for completion in reply)
