"""What the sampler and the trainer disagree on is named with both of its reasons."""

import math

import pytest

pytest.importorskip("trl", reason="needs the train extra")

from vt_env.integrations.trl.sampler_errors import FP32_LIMIT, SamplingMismatch, check_logp_difference

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("difference", [3.6e-4, 0.5, math.nan])
def test_a_difference_names_both_of_its_reasons(difference: float) -> None:
    check_logp_difference(0, [1e-6], FP32_LIMIT)
    with pytest.raises(SamplingMismatch, match=r"compare the dtypes.*probability to image tokens.*train it longer"):
        check_logp_difference(0, [difference], FP32_LIMIT)
