"""Campaigns that try to break what Headstart promises: ``python -m benchmarks.reliability``."""
