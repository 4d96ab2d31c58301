"""What TRL and its vLLM are mended in: processors that cannot call tools, and batches without pictures."""

import pytest

from vt_env.errors import ConfigError
from vt_env.integrations.trl.vllm_repairs import allow_batches_without_images, collapse_runs

pytestmark = pytest.mark.slow


def test_runs_are_shortened_to_one_token_and_other_repetitions_stay():
    assert collapse_runs([7, 5, 5, 5, 7, 7, 5, 5, 8, 5], 5) == [7, 5, 7, 7, 5, 8, 5]


@pytest.fixture
def processor():
    pytest.importorskip("trl")
    from experiments.tiny_model.processor import build_processor

    return build_processor()


def test_a_processor_that_can_call_tools_is_left_as_it_is(processor):
    from vt_env.integrations.trl import prepare_processor

    template, response = processor.chat_template, processor.tokenizer.response_template
    assert prepare_processor(processor) is processor
    assert processor.chat_template == template and processor.tokenizer.response_template == response


def test_qwen_25_vl_gets_a_template_that_calls_tools_and_a_way_to_read_calls(processor):
    from trl.chat_template_utils import qwen2_5_vl_chat_template, supports_tool_calling

    from vt_env.integrations.trl import prepare_processor

    processor.chat_template, processor.tokenizer.response_template = qwen2_5_vl_chat_template, None
    assert not supports_tool_calling(processor)
    assert supports_tool_calling(prepare_processor(processor))
    text = 'x\n<tool_call>\n{"name": "look", "arguments": {"start_s": "05:20"}}\n</tool_call><|im_end|>'
    message = processor.tokenizer.parse_response(text, prefix="")
    assert message["tool_calls"][0]["function"]["arguments"] == {"start_s": "05:20"}


@pytest.mark.parametrize(
    "template",
    [
        "{%- for m in messages %}{{ m.role }}{%- for b in m.content %}{{ b.text }}{%- endfor %}{%- endfor %}",
        "{{ raise_exception('no tools') }}",
        None,
    ],
)
def test_a_template_that_drops_calls_is_refused_where_it_cannot_be_replaced(processor, template):
    from vt_env.integrations.trl import prepare_processor

    core = processor.tokenizer.backend_tokenizer.to_str().replace("<|im_start|>", "<|begin|>")
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    processor.tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(core), eos_token="<|im_end|>")
    processor.chat_template = template
    with pytest.raises(ConfigError, match="cannot show tool calls and pictures") as error:
        prepare_processor(processor)
    assert "\n" not in str(error.value)


def test_a_tokenizer_without_an_image_token_is_refused(processor):
    from vt_env.integrations.trl import prepare_processor

    with pytest.raises(ConfigError, match="no image token"):
        prepare_processor(processor.tokenizer)


def test_a_batch_without_pictures_is_scored_like_one_that_never_had_any():
    torch = pytest.importorskip("torch")
    pytest.importorskip("trl")
    from experiments.tiny_model.model import build_model
    from experiments.tiny_model.processor import build_processor

    model = build_model(build_processor().tokenizer, seed=0).eval()
    ids = torch.arange(20, 30)[None]
    empty = {"pixel_values": torch.zeros(0, 1176), "image_grid_thw": torch.zeros(0, 3, dtype=torch.long)}
    with torch.inference_mode():
        plain = model(input_ids=ids).logits
        with pytest.raises(ValueError, match="non-empty"):
            model(input_ids=ids, **empty)
        allow_batches_without_images(model)
        assert torch.equal(model(input_ids=ids, **empty).logits, plain)
