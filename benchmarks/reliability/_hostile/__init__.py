"""The corpus of hostile artifacts, and the child process that tries them; see ``hostile.py``."""
