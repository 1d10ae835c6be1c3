"""Large letters for the one phrase that nobody may misread: three lines of half blocks, or five of #."""

from __future__ import annotations

import textwrap

# Three wide and five high, each row of a letter as three bits.
_LETTERS = {
    "A": "25755", "B": "65656", "C": "34443", "D": "65556", "E": "74647", "F": "74644", "G": "34553", "H": "55755",
    "I": "72227", "J": "11152", "K": "55655", "L": "44447", "M": "57755", "N": "65555", "O": "25552", "P": "65644",
    "Q": "25563", "R": "65655", "S": "34216", "T": "72222", "U": "55557", "V": "55552", "W": "55775", "X": "55255",
    "Y": "55222", "Z": "71247", ",": "00024", " ": "00000",
}  # fmt: skip
_HALVES = {(0, 0): " ", (1, 0): "▀", (0, 1): "▄", (1, 1): "█"}


def big(text: str, width: int, *, plain: bool) -> str:
    """`text` in capitals, broken between words to `width` columns. What has no large form stays as it is."""
    if any(letter not in _LETTERS for letter in text) or max(map(len, text.split()), default=0) * 4 > width:
        return text
    return "\n".join(_line(part, plain=plain) for part in textwrap.wrap(text, max(1, width // 4)))


def _line(text: str, *, plain: bool) -> str:
    rows = ["".join(f"{int(_LETTERS[letter][row]):03b}0" for letter in text) for row in range(5)]
    if plain:
        return "\n".join(row.replace("0", " ").replace("1", "#").rstrip() for row in rows)
    pairs = [(rows[0], rows[1]), (rows[2], rows[3]), (rows[4], "0" * len(rows[4]))]
    return "\n".join(
        "".join(_HALVES[int(a), int(b)] for a, b in zip(upper, lower, strict=True)).rstrip() for upper, lower in pairs
    )
