"""Measurements that are no tests: they report ratios and tables, and nothing fails by them."""
