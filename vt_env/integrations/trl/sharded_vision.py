"""Keeps processes in step that share the weights of a model, where one of them has no picture to read.

Every process gathers the weights of the vision tower (FSDP2, ZeRO-3) or the gradients of it (data parallelism with a
tower that is trained) as often as it runs it. A batch without pictures, such as of one rollout that has looked at
nothing, would leave it out, and the others would wait for ever or read the weights of another layer.
"""

from typing import Any


def keep_tower_in_step(model: Any) -> None:
    """Make every forward pass of a model run its vision tower once; to be called before training.

    Where there is no picture it reads a blank one of the smallest size, between the embedding and the first layer as
    any other, and adds nothing.

    Args:
        model: A `torch.nn.Module` of the Qwen2.5-VL or Qwen3-VL class, also inside adapters; others stay as they are.
    """
    owner = next((it for it in model.modules() if "visual" in it._modules), None)
    if owner is None:
        return
    is_blank = False

    def look(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        nonlocal is_blank
        is_blank = kwargs.get("pixel_values") is None

    def add_nothing(module: Any, args: tuple[Any, ...], embedded: Any) -> Any:
        nonlocal is_blank
        if not is_blank:
            return embedded
        is_blank = False
        return embedded + 0 * _blank_features(owner.visual, embedded.device).sum().to(embedded.dtype)

    owner.register_forward_pre_hook(look, with_kwargs=True)
    owner.get_input_embeddings().register_forward_hook(add_nothing)


def _blank_features(tower: Any, device: Any) -> Any:
    """Run the tower on one blank picture of the smallest size."""
    import torch

    config, side = tower.config, tower.config.spatial_merge_size
    width = config.in_channels * config.temporal_patch_size * config.patch_size**2
    pixels = torch.zeros(side * side, width, device=device, dtype=tower.dtype)
    return tower(pixels, grid_thw=torch.tensor([[1, side, side]], device=device)).pooler_output
