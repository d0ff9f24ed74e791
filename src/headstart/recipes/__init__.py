"""Recipes: runnable files that reproduce a method's claim and write a result file with raw numbers."""
