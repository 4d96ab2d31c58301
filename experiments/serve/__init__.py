"""Servers: `vt-env serve`."""
