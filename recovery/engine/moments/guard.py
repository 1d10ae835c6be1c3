"""A process that waits for the backup to die: what was stopped for it is then let go all the same (kill -9, no memory).

Started by Moments with a pipe to its standard input. It reads one JSON object a line, each the newest state; an empty
line means that all is done. When the pipe ends without that, the backup is dead, and it does what is still due.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    """Wait for the end of the pipe, and act on the last state."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # meant for the backup, which ends us itself
        number = getattr(signal, name, None)
        if number is not None:
            signal.signal(number, signal.SIG_IGN)
    state: dict[str, Any] = {}
    for line in sys.stdin.buffer:
        if not line.endswith(b"\n"):
            break  # it died while it wrote
        if line == b"\n":
            return
        state = json.loads(line)
    if state:
        let_go(state)


def let_go(state: dict[str, Any]) -> None:
    """Run what is due after the last state that a Moments told, whose process is gone."""
    # Not before it is needed: every backup with commands waits for the start of its guard.
    from recovery.engine.moments.course import MomentFacts, Moments
    from recovery.engine.moments.model import MomentOptions

    options = state["options"]
    if options["hooks_dir"] is not None:
        options["hooks_dir"] = Path(options["hooks_dir"])
    facts = MomentFacts(**{**state["facts"], "volumes": tuple(state["facts"]["volumes"])})
    moments = Moments(MomentOptions(**options), facts)
    moments.note("failed", "The backup was killed.")
    moments.take_over([Path(p) for p in state["prepared"]], [Path(p) for p in state["frozen"]])
    moments.after_thaw()


if __name__ == "__main__":
    main()
