"""Whole stories in one file each: `quickstart`, `reproduce`."""
