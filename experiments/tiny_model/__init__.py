"""Tiny vision-language model: Qwen2.5-VL architecture, 2.5 million parameters, trainable on two CPU cores.

The base is pretrained on single clips of the generated world, without long videos or tools: the premise of the paper's
base model, at a size that allows every claim to be tested.
"""
