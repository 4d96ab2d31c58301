"""Sampling settings of replies: one record for all backends, part of provenance and of every key of a reply."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self, cast

from vt_env.config import at_least
from vt_env.errors import ConfigError

_WIRE_NAMES: Mapping[str, str] = {"max_new_tokens": "max_tokens"}
"""Fields that OpenAI's API names differently."""


@dataclass(frozen=True)
class Sampling:
    """How replies are sampled. What is not given is the checkpoint's own.

    Raises:
        ConfigError: A value is out of range, or `extra_body` is no JSON object.
    """

    temperature: float | None = None
    """Sampling temperature; 0 is greedy. By default, as all settings here, that of the checkpoint's
    `generation_config.json`, and greedy without one; for a server, the server's own."""
    top_p: float | None = None
    """Smallest set of likeliest tokens with this probability (nucleus sampling); 1 keeps all."""
    top_k: int | None = None
    """Number of likeliest tokens to sample from; 0 keeps all."""
    min_p: float | None = None
    """Minimum probability of a token, relative to the likeliest one; 0 keeps all."""
    presence_penalty: float | None = None
    """Subtracted from the logits of tokens that the reply holds already; 0 disables it."""
    repetition_penalty: float | None = None
    """Divides the logits of tokens that prompt or reply hold already (arXiv 1909.05858); 1 disables it."""
    stop: tuple[str, ...] | None = None
    """Texts that end a reply; they are part of it."""
    max_new_tokens: int | None = None
    """Maximum length of a reply in tokens, thoughts included. By default the checkpoint's, else 2048, or 8192 if its
    chat template knows thoughts, and a quarter of its context at most; 4096 for a server."""
    extra_body: str | None = None
    """Further fields of every request to a server, as a JSON object, such as
    `{"chat_template_kwargs": {"enable_thinking": false}}`; `null` removes a field."""

    def __post_init__(self) -> None:
        for name in ("temperature", "min_p", "top_k"):
            at_least(self, name, 0)
        at_least(self, "max_new_tokens", 1)
        if self.temperature is not None and math.isinf(self.temperature):
            raise ConfigError(f"temperature={self.temperature}: need a finite number of 0 or more")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p={self.top_p}: need a share above 0 and up to 1")
        if self.min_p is not None and self.min_p > 1:
            raise ConfigError(f"min_p={self.min_p}: need a share from 0 to 1")
        if self.repetition_penalty is not None and not 0 < self.repetition_penalty < math.inf:
            raise ConfigError(f"repetition_penalty={self.repetition_penalty}: need a number above 0; 1 disables it")
        if self.presence_penalty is not None and not -2 <= self.presence_penalty <= 2:
            raise ConfigError(f"presence_penalty={self.presence_penalty}: need a number from -2 to 2")
        if self.stop is not None and not all(self.stop):
            raise ConfigError(f"stop={self.stop}: need texts that are not empty")
        _json_object(self.extra_body)

    @property
    def reply_tokens(self) -> int:
        """Maximum length of a reply in tokens.

        Raises:
            ValueError: It is not given.
        """
        if self.max_new_tokens is None:
            raise ValueError("max_new_tokens is None: fill it with `or_else` first")
        return self.max_new_tokens

    @property
    def extra(self) -> dict[str, Any]:
        """Further fields of a request body."""
        return _json_object(self.extra_body)

    def or_else(self, own: "Sampling") -> Self:
        """Fill what is not given from other settings, such as a checkpoint's own."""
        return replace(self, **{name: getattr(own, name) for name in self.missing})

    @property
    def missing(self) -> list[str]:
        """Names of the settings that are not given."""
        return [it.name for it in fields(Sampling) if getattr(self, it.name) is None]

    def record(self) -> dict[str, Any]:
        """Return the settings that are given, as plain JSON values."""
        values = {it.name: getattr(self, it.name) for it in fields(Sampling)}
        return {name: list(value) if name == "stop" else value for name, value in values.items() if value is not None}

    def body(self) -> dict[str, Any]:
        """Return the fields of a request body that these settings are, `extra_body` left out.

        `top_k`, `min_p` and `repetition_penalty` are no part of OpenAI's own API, but of vLLM's and SGLang's.
        """
        found = {name: value for name, value in self.record().items() if name != "extra_body"}
        return {_WIRE_NAMES.get(name, name): value for name, value in found.items()}

    def describe(self) -> str:
        """Write the settings in one line."""
        shown = {name: value for name, value in self.record().items() if name != "max_new_tokens"}
        if shown.get("temperature") == 0:
            # The likeliest token is taken whatever the others are.
            shown = {name: value for name, value in shown.items() if name not in ("top_p", "top_k", "min_p")}
        parts = [f"{name} {value}" for name, value in shown.items()]
        length = [] if self.max_new_tokens is None else [f"replies of up to {self.max_new_tokens} tokens"]
        return ", ".join([*parts, *length]).replace("temperature 0,", "greedy,").replace("temperature 0.0,", "greedy,")


def _json_object(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        found: object = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ConfigError(f'extra_body={text!r}: need a JSON object, such as \'{{"reasoning_effort": "low"}}\'')
    return cast("dict[str, Any]", found)
