"""A vision-language model of the Qwen2.5-VL architecture with 2.5 million parameters, for two CPU cores.

It reads one short clip of the generated world and has never seen a long video or a tool: the same premise as the
paper's, at a size at which every claim can be tested anywhere.
"""
