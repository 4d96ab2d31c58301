"""Long-video question answering as a Gymnasium environment whose actions are tool calls and answers.

    import gymnasium as gym
    import vt_env

    env = gym.make("vt_env/LongVideoQA-v0", tasks="world", split="test")

Importing registers the environment; decoders, search indices and fonts are only loaded when they are needed.
"""

import gymnasium as gym

from vt_env.actions.parse import parse_action, render_action
from vt_env.config import BudgetConfig, EnvConfig, MediaConfig, RewardConfig
from vt_env.episode.episode import Episode
from vt_env.episode.trajectory import Trajectory, read_trajectories, record_episode, write_trajectories
from vt_env.errors import BudgetError, ConfigError, DataError, EpisodeOver, ToolError, VtEnvError
from vt_env.profiles import PROFILES, Profile
from vt_env.rewards.reward import FinishedEpisode
from vt_env.session import Session, SessionResult, SessionSource
from vt_env.task_sources import load_tasks
from vt_env.tasks.task_set import Task, TaskSet
from vt_env.tools.tool import Tool
from vt_env.types import Answer, Interval, Item, Malformed, Observation, Outcome, StopReason, ToolCall, VideoRef, View

__all__ = [
    "PROFILES",
    "Answer",
    "BudgetConfig",
    "BudgetError",
    "ConfigError",
    "DataError",
    "EnvConfig",
    "Episode",
    "EpisodeOver",
    "FinishedEpisode",
    "Interval",
    "Item",
    "Malformed",
    "MediaConfig",
    "Observation",
    "Outcome",
    "Profile",
    "RewardConfig",
    "Session",
    "SessionResult",
    "SessionSource",
    "StopReason",
    "Task",
    "TaskSet",
    "Tool",
    "ToolCall",
    "ToolError",
    "Trajectory",
    "VideoRef",
    "View",
    "VtEnvError",
    "load_tasks",
    "parse_action",
    "read_trajectories",
    "record_episode",
    "render_action",
    "write_trajectories",
]

gym.register(id="vt_env/LongVideoQA-v0", entry_point="vt_env.envs.tool_env:LongVideoQAEnv")
gym.register(id="vt_env/LongVideoQAText-v0", entry_point="vt_env.envs.text_env:LongVideoQATextEnv")
gym.register(id="vt_env/LongVideoQANumeric-v0", entry_point="vt_env.envs.numeric_env:LongVideoQANumericEnv")
