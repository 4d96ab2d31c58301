"""Run the vision tower in every forward pass, so that processes that share a model make the same collective calls.

Every process gathers the weights of the vision tower (FSDP2, ZeRO-3) or its gradients (data parallelism with a tower
that is trained) as often as it runs it. A batch without images would leave the tower out, and the other processes would
wait for ever or read the weights of another layer.
"""

from typing import Any


def keep_tower_in_step(model: Any) -> None:
    """Make every forward pass of a model run its vision tower once; call it before training.

    A batch without images runs it on a blank image of the smallest size, between the embedding and the first layer, and
    adds 0 times its features.

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
    """Run the tower on one blank image of the smallest size."""
    import torch

    config, side = tower.config, tower.config.spatial_merge_size
    width = config.in_channels * config.temporal_patch_size * config.patch_size**2
    pixels = torch.zeros(side * side, width, device=device, dtype=tower.dtype)
    return tower(pixels, grid_thw=torch.tensor([[1, side, side]], device=device)).pooler_output
