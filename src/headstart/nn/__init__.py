"""Bricks that several methods and the lifecycle share: random streams, parameter trees, small models."""
