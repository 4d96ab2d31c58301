"""Flag `--protocol` of the commands that play checkpoints of other agents."""

from dataclasses import dataclass, field

from experiments.runs.read_run import CONFIG, read_json
from experiments.settings.prompts import EpisodeConfig
from vt_env.config import HOW_ONLY
from vt_env.tools.agent_protocols import resolve_protocol
from vt_env.tools.builtin import ToolChoice


@dataclass(frozen=True, kw_only=True)
class ProtocolConfig(EpisodeConfig):
    """Settings of the commands that play one policy."""

    protocol: str | None = field(default=None, metadata=HOW_ONLY)
    """Protocol that the checkpoint of another agent was trained on, such as `longvt`: prompt set, tools and dialect at
    once, see docs/peers.md. `--prompts` and `--tools` given beside it take the place of its own."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.protocol is None:
            return
        chosen = resolve_protocol(self.protocol)
        if self.prompts is None:
            object.__setattr__(self, "prompts", chosen.prompts.name)
        tools: ToolChoice | None = getattr(self, "tools", None)
        if tools is None:
            object.__setattr__(self, "tools", chosen.tools)

    @property
    def protocol_record(self) -> dict[str, str]:
        """The name for `config.json` and provenance, that of the run which is resumed included; nothing without one."""
        run = self.run_folder
        name = self.protocol
        if name is None and run is not None and (run / CONFIG).is_file():
            name = read_json(run / CONFIG).get("protocol")
        return {} if name is None else {"protocol": str(name)}

    def check_protocol(self, perception: str) -> None:
        """Refuse a policy that is shown something else than the protocol's tools return.

        Raises:
            ConfigError: The perceptions differ.
        """
        if self.protocol is not None:
            resolve_protocol(self.protocol).check_perception(perception)
