"""Policies that are a language model, and policies around one."""
