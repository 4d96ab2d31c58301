"""Optimiser of the language model: Muon for matrices, AdamW for embeddings, norms and biases."""

from collections.abc import Callable

import torch
from torch import nn

MOMENTUM = 0.95
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic iteration, as in `torch.optim.Muon` (https://kellerjordan.github.io/posts/muon)."""
ITERATIONS = 5
MATRIX_LR = 2.0
"""Learning rate of matrices, relative to that of the other parameters."""


class MuonAdamW(torch.optim.AdamW):
    """AdamW that updates the weight matrices of layers by the rule of `torch.optim.Muon`, in their own precision.

    `torch.optim.Muon` orthogonalises in bfloat16; a step of the tiny model then takes 2.7 times as long on a CPU
    without native bfloat16 (measured).

    Args:
        model: The model; parameters with `requires_grad` are optimised.
        lr: Learning rate; matrices use `MATRIX_LR` times this rate.
        betas: AdamW's coefficients.
        weight_decay: Decoupled weight decay of all parameters.
    """

    def __init__(self, model: nn.Module, lr: float, betas: tuple[float, float], weight_decay: float) -> None:
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
        """Update the matrices, consuming their gradients, then all other parameters."""
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
            # AdamW requires `step` in every state that it loads.
            state.update(step=torch.zeros(()), momentum=torch.zeros_like(matrix))
        state["step"] += 1
        momentum = state["momentum"].lerp_(matrix.grad, 1 - MOMENTUM)
        step = orthogonal(matrix.grad.lerp(momentum, MOMENTUM))
        # Match the RMS of AdamW's updates (arXiv 2502.16982, section 2.2).
        matrix.mul_(1 - lr * weight_decay).sub_(step, alpha=lr * 0.2 * max(matrix.shape) ** 0.5)
        matrix.grad = None


def orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    """Orthogonalise a matrix approximately by Newton-Schulz iterations: singular values near 1, same directions."""
    first, third, fifth = NEWTON_SCHULZ
    wide = matrix.T if matrix.size(0) > matrix.size(1) else matrix
    wide = wide / wide.norm().clamp(min=1e-7)
    for _ in range(ITERATIONS):
        gram = wide @ wide.T
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=third, alpha=fifth), wide, beta=first)
    return wide.T if matrix.size(0) > matrix.size(1) else wide
