"""Campaigns that try to break what Headstart promises, and count. Run: ``python -m benchmarks.reliability``."""
