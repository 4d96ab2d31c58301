"""The optimiser of the language model: Muon for its matrices, AdamW for embeddings, norms and biases."""

from collections.abc import Callable

import torch
from torch import nn

MOMENTUM = 0.95
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic iteration, as `torch.optim.Muon` has them (https://kellerjordan.github.io/posts/muon)."""
ITERATIONS = 5
MATRIX_LR = 2.0
"""Learning rate of matrices as a multiple of the others'."""


class MuonAdamW(torch.optim.AdamW):
    """AdamW that steps the weight matrices of layers by `torch.optim.Muon`'s rule, in their own precision.

    `torch.optim.Muon` orthogonalises in bfloat16, with which a step of the tiny model takes 2.7 times as long on a CPU
    that does not compute in it (measured).
    """

    def __init__(self, model: nn.Module, lr: float, betas: tuple[float, float], weight_decay: float) -> None:
        """Take what is to be trained of a model."""
        trained = [(name, it) for name, it in model.named_parameters() if it.requires_grad]
        is_matrix = [it.ndim == 2 and "embed" not in name and "lm_head" not in name for name, it in trained]
        groups = [
            {
                "params": [it for (_, it), kind in zip(trained, is_matrix, strict=True) if kind == wanted],
                "is_matrix": wanted,
                "lr": lr * (MATRIX_LR if wanted else 1),
            }
            for wanted in (True, False)
        ]
        super().__init__(groups, lr=lr, betas=betas, weight_decay=weight_decay)

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Step matrices, whose gradients are used up by it, and then all else."""
        for group in self.param_groups:
            if group["is_matrix"]:
                for matrix in group["params"]:
                    self._step_matrix(matrix, group["lr"], group["weight_decay"])
        return super().step(closure)

    @torch.no_grad()
    def _step_matrix(self, matrix: nn.Parameter, lr: float, weight_decay: float) -> None:
        if matrix.grad is None:
            return
        state = self.state[matrix]
        if not state:
            # AdamW reads `step` of every state that it loads.
            state.update(step=torch.zeros(()), momentum=torch.zeros_like(matrix))
        state["step"] += 1
        momentum = state["momentum"].lerp_(matrix.grad, 1 - MOMENTUM)
        step = orthogonal(matrix.grad.lerp(momentum, MOMENTUM))
        # Scaled to the size of AdamW's steps (arXiv 2502.16982, section 2.2).
        matrix.mul_(1 - lr * weight_decay).sub_(step, alpha=lr * 0.2 * max(matrix.shape) ** 0.5)
        matrix.grad = None


def orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    """Bring the singular values of a matrix near one, its directions left as they are, by Newton and Schulz."""
    first, third, fifth = NEWTON_SCHULZ
    wide = matrix.T if matrix.size(0) > matrix.size(1) else matrix
    wide = wide / wide.norm().clamp(min=1e-7)
    for _ in range(ITERATIONS):
        gram = wide @ wide.T
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=third, alpha=fifth), wide, beta=first)
    return wide.T if matrix.size(0) > matrix.size(1) else wide
