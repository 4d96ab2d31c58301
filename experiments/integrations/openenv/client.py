"""Clients: OpenEnv's own, since actions and observations are its tool calls and their results."""

from openenv.core import GenericEnvClient
from openenv.core.mcp_client import MCPToolClient

__all__ = ["GenericEnvClient", "MCPToolClient"]
