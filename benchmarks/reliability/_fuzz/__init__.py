"""Random inputs for each surface that users touch, and the check of what becomes of them."""
