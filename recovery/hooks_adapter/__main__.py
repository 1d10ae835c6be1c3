"""python -m recovery.hooks_adapter NAME prepare|freeze|thaw|abort: what an installed hook runs."""

from __future__ import annotations

import json
import os
import sys

from formats.base.errors import RecoveryError
from recovery.hooks_adapter import resident
from recovery.hooks_adapter.known import ADAPTERS
from recovery.hooks_adapter.resident import Answer


def main(argv: list[str]) -> int:
    """The exit code: 0 when it was done, 1 when not, 2 for a call that makes no sense."""
    if len(argv) != 2 or argv[0] not in ADAPTERS:
        sys.stderr.write(f"usage: python -m recovery.hooks_adapter {'|'.join(ADAPTERS)} prepare|freeze|thaw|abort\n")
        return 2
    database, phase = ADAPTERS[argv[0]], argv[1]
    try:
        body = json.loads(sys.stdin.read() or "{}")
        job, backup = str(body.get("job_id", "")), int(body.get("pid", 0))
    except (ValueError, TypeError, AttributeError):
        sys.stderr.write("standard input is not the JSON that jurymast gives to a hook\n")
        return 2
    try:
        if phase == "prepare":
            session = database.connect()
            try:
                answer = Answer(True, database.check(session))
            finally:
                session.close()
        elif phase == "freeze":
            answer = resident.freeze(database, job, backup)
        elif phase == "thaw":
            answer = resident.thaw(database, job)
        else:  # abort: nothing is held yet; words of later versions are nothing for us
            answer = Answer(True, "")
    except (RecoveryError, OSError, ValueError) as error:
        advice = getattr(error, "advice", "")
        answer = Answer(False, f"{error}\n{advice}\n" if advice else f"{error}\n")
    sys.stdout.write(answer.text)
    return 0 if answer.ok else 1


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)  # threads that still read from a dead client must not keep the hook
