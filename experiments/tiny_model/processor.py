"""Processor of the tiny model: Qwen2.5-VL's classes at a fixed image size."""

from transformers import PreTrainedTokenizerFast, Qwen2_5_VLProcessor, Qwen2VLImageProcessor, Qwen2VLVideoProcessor

from experiments.tiny_model.tokenizer import CHAT_TEMPLATE, build_tokenizer

PATCH_PX = 14
MERGE = 2
IMAGE_PX = 112
"""Side of every image: 8 x 8 patches, merged to 16 tokens."""
IMAGE_TOKENS = (IMAGE_PX // PATCH_PX // MERGE) ** 2


def build_processor(tokenizer: PreTrainedTokenizerFast | None = None) -> Qwen2_5_VLProcessor:
    """Build the processor; it does not resize images of 112 x 112 pixels.

    Args:
        tokenizer: Tokenizer of a base; that of the first one by default.
    """
    pixels = {"shortest_edge": (PATCH_PX * MERGE) ** 2, "longest_edge": IMAGE_PX**2}
    sizes = {"patch_size": PATCH_PX, "merge_size": MERGE, "size": pixels}
    return Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(temporal_patch_size=2, **sizes),
        tokenizer=tokenizer or build_tokenizer(),
        video_processor=Qwen2VLVideoProcessor(temporal_patch_size=2, **sizes),
        chat_template=CHAT_TEMPLATE,
    )
