"""decode(): the only place where construct's errors are caught, and the only door for its untyped results."""

from __future__ import annotations

from typing import Any

import construct

from formats.base.errors import Corrupt, Truncated


def decode(layout: Any, data: bytes, structure: str, offset: int, source: str = "") -> Any:
    """Parse `data` with a construct `layout`.

    `structure` and `offset` (absolute, bytes) name the place in the error. Raises Truncated or Corrupt.
    """
    try:
        return layout.parse(data)
    except construct.StreamError as error:
        raise Truncated(structure, offset, "the data end inside it", source=source) from error
    except construct.ConstructError as error:
        raise Corrupt(structure, offset, str(error).strip().splitlines()[-1], source=source) from error
