"""Lineage: what the next arrival continues from."""

from __future__ import annotations

from headstart.lifecycle.store import Store

__all__ = ["replay", "trunk"]


def trunk(store: Store) -> str | None:
    """The version the next run continues from: the newest that was not rejected, or None.

    A candidate that was held is still the best start there is. After a rollback it is the champion
    that was put back.
    """
    newest: str | None = None
    for event in store.log():
        if event.kind in ("promote", "rollback", "hold"):
            newest = event.version
    return newest


def replay(store: Store) -> str | None:
    """The champion that the log of promotions and rollbacks leads to."""
    champion: str | None = None
    for event in store.log():
        if event.kind in ("promote", "rollback"):
            champion = event.version
    return champion
