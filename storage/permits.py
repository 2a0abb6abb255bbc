"""Requests counted in their windows ahead of time, a few at once. Put here: how many, and handing them out. Keep out: counting itself
(limits.lua), connections.

A permit is counted in Redis before it is handed out, so that no window ever lets more requests through than it should, however many
processes hand out. What is counted and never used is lost to the window: a process holds at most one in `_SHARE` of what is left in it,
and none where that is little; there each request is counted by itself, to the last one.
"""

from __future__ import annotations

from collections.abc import Sequence

from domain.limits import Counted, Limit

Limits = Sequence[tuple[str, Limit]]
_SHARE = 64
_LEAST = 16
_AHEAD = 1.0
"""So many seconds' requests, as they come at the moment, are counted at once; more are asked for when half of them are used. Nobody waits
for a disk that stands still for less than the rest."""
_GOOD_FOR, _OF_A_WINDOW = 2.0, 30
"""Seconds until permits are given up, and at most this part of a window: they were counted in the stretch of time in which they were
asked for."""
_QUIET = 1.0
_MOST_WINDOWS = 10_000


class _Window:
    """What this process holds of the windows of one key. counted: as Redis last told, after what is held. seen: requests since.
    good_for: seconds."""

    __slots__ = ("counted", "good_for", "held", "is_asking", "left", "limits", "seen", "since", "until")

    def __init__(self, limits: Limits, now: float) -> None:
        self.limits = limits
        self.good_for = min(_GOOD_FOR, min(limit.window for _, limit in limits) / _OF_A_WINDOW)
        self.counted: Sequence[Counted] = ()
        self.left = self.held = self.seen = 0
        self.since = now
        self.until = 0.0
        self.is_asking = False


class Permits:
    """The permits of one process. Times are those of the event loop, seconds."""

    def __init__(self) -> None:
        self._windows: dict[str, _Window] = {}

    def take(self, limits: Limits, now: float) -> tuple[Sequence[Counted] | None, int]:
        """One permit, as the windows count it (None: this request has to be counted by itself), and how many more to ask for (0: none).
        Who is told a number asks, and says so with `granted` or `refused`."""
        if not limits:
            return (), 0
        window = self._of(limits, now)
        window.seen += 1
        if window.left <= 0 or now >= window.until:
            return None, self._wanted(window, now)
        window.left = left = window.left - 1
        counted = [Counted(False, each.remaining + left, each.reset, 0) for each in window.counted]
        return counted, 0 if 2 * left >= window.held else self._wanted(window, now)

    def _wanted(self, window: _Window, now: float) -> int:
        if window.is_asking:
            return 0
        lasts = now < window.until
        took = now - window.since
        if not lasts and took > _QUIET:
            window.since, window.seen, window.left = now, 1, 0
            return 0
        if window.seen < _LEAST // 2 or not window.counted:
            return 0
        room = min(each.remaining for each in window.counted) // _SHARE
        many = min(max(int(window.seen / max(took, 0.05) * _AHEAD), _LEAST), room) - window.left
        if room < _LEAST or many <= 0:
            return 0
        window.is_asking = True
        return many

    def heard(self, limits: Limits, counted: Sequence[Counted], now: float) -> None:
        """A request was counted by itself."""
        if limits:
            self._of(limits, now).counted = counted

    def granted(
        self, limits: Limits, counted: Sequence[Counted], many: int, now: float, asked: float
    ) -> None:
        """These were counted, asked for at `asked`."""
        window = self._of(limits, now)
        if now >= window.until:
            window.left = 0
        window.left = window.held = window.left + many
        window.counted = counted
        window.since, window.seen, window.until, window.is_asking = now, 0, asked + window.good_for, False

    def refused(self, limits: Limits, now: float) -> None:
        """They were not: there is little room, or nobody to ask."""
        window = self._of(limits, now)
        window.since, window.seen, window.counted, window.is_asking = now, 0, (), False

    def clear(self) -> None:
        """Whoever counted them has forgotten it."""
        self._windows.clear()

    def _of(self, limits: Limits, now: float) -> _Window:
        name = limits[0][0]
        window = self._windows.get(name)
        if window is None or window.limits != limits:
            if len(self._windows) >= _MOST_WINDOWS:
                self._windows.clear()
            window = self._windows[name] = _Window(limits, now)
        return window
