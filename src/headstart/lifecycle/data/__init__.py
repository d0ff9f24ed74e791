"""Data: tables by column, readers of every format, and sides that never change."""
