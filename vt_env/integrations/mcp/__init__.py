"""Servers of the Model Context Protocol (extra `mcp`): episodes of a benchmark, or a user's own videos."""
