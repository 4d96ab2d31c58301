"""Protocols of public video agents: prompt set, tools and dialect that their checkpoints were trained on, by one name.

    vt-env eval --protocol longvt --model.path longvideotool/LongVT-7B-RFT
    env = gym.make("vt_env/LongVideoQAText-v0", tasks="talks.jsonl", protocol="longvt")

The dialect needs no choice: every form in `vt_env.actions` is read at all times. What a protocol sets is what the
checkpoint is told and offered; `docs/peers.md` says which checkpoint plays through which, and what differs from its own
loop.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vt_env.errors import ConfigError, suggest
from vt_env.prompts import PromptSet
from vt_env.prompts.peers import EVA, FRAMETHINKER, LONGVIDEO_R1, LONGVT, PARAVT, VIDEO_MTR, VIDEOZOOMER
from vt_env.tools.builtin import CAPTION_TREE_TOOLS, FRAME_NUMBER_TOOL, ToolChoice


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How the checkpoints of one agent are spoken to."""

    prompts: PromptSet
    """All texts, the schemas of the tools and the place of calls among them."""
    tools: tuple[str, ...] = ("frame_zoom",)
    """Tools on offer, by our names."""
    perception: str = "frames"
    """`"frames"` or `"captions"`: what its tools return."""

    @property
    def name(self) -> str:
        """Name of the protocol: that of its prompt set."""
        return self.prompts.name

    def check_perception(self, perception: str) -> None:
        """Refuse to be played with the other perception.

        Raises:
            ConfigError: Its tools return something else.
        """
        if perception != self.perception:
            agent = "caption-only" if self.perception == "captions" else "full"
            need = f"need perception={self.perception!r} (--agent {agent})"
            raise ConfigError(
                f"protocol={self.name!r}: its tools return {self.perception}, got perception={perception!r}; {need}"
            )


PROTOCOLS: Mapping[str, Protocol] = {
    it.name: it
    for it in (
        Protocol(prompts=LONGVT),
        Protocol(prompts=PARAVT),
        Protocol(prompts=EVA),
        Protocol(prompts=VIDEOZOOMER),
        Protocol(prompts=FRAMETHINKER, tools=("frame_zoom", FRAME_NUMBER_TOOL)),
        Protocol(prompts=VIDEO_MTR),
        Protocol(prompts=LONGVIDEO_R1, tools=CAPTION_TREE_TOOLS, perception="captions"),
    )
}
"""The protocols that ship, by name."""


def resolve_protocol(protocol: str | Protocol) -> Protocol:
    """Turn a name into its protocol; a protocol is returned as it is.

    Raises:
        ConfigError: There is no such protocol.
    """
    if isinstance(protocol, Protocol):
        return protocol
    if protocol not in PROTOCOLS:
        raise ConfigError(f"protocol={protocol!r}: allowed are {', '.join(PROTOCOLS)}{suggest(protocol, PROTOCOLS)}")
    return PROTOCOLS[protocol]


def prompts_and_tools(
    protocol: str | Protocol | None,
    perception: str,
    prompts: str | Path | PromptSet | None,
    tools: ToolChoice | None,
) -> tuple[str | Path | PromptSet | None, ToolChoice | None]:
    """Return prompts and tools as they were given, else the protocol's; `None` where neither says anything.

    Raises:
        ConfigError: There is no such protocol, or its tools return something else than the perception.
    """
    if protocol is None:
        return prompts, tools
    chosen = resolve_protocol(protocol)
    chosen.check_perception(perception)
    return chosen.prompts if prompts is None else prompts, chosen.tools if tools is None else tools
