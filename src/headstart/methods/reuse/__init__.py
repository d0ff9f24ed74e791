"""Starts that reuse the weights of the version before."""
