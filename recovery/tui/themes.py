"""Colours. Only the sixteen that every console has, so that nothing is lost where there are no more.

The values are those by which a console's sixteen colours are known (as the Linux console and VGA have them).
"""

from __future__ import annotations

from textual.theme import Theme

_BLACK, _GREY, _DARK, _WHITE = "#000000", "#aaaaaa", "#555555", "#ffffff"


def _theme(name: str, *, text: str, bar: str, bar_text: str, accent: str, good: str, bad: str, note: str) -> Theme:
    return Theme(
        name=name,
        primary=bar,
        secondary=accent,
        accent=accent,
        warning=note,
        error=bad,
        success=good,
        foreground=text,
        background=_BLACK,
        surface=_BLACK,
        panel=bar,
        boost=_BLACK,
        text_alpha=1.0,
        variables={
            "bar": bar,
            "bar-text": bar_text,
            "scrollbar": text,
            "scrollbar-hover": text,
            "scrollbar-active": text,
            "scrollbar-background": _DARK,
            "scrollbar-background-hover": _DARK,
            "scrollbar-background-active": _DARK,
            "input-cursor-background": text,
            "input-cursor-foreground": _BLACK,
            "footer-background": bar,
            "footer-foreground": bar_text,
            "footer-key-foreground": bar_text,
            "footer-key-background": bar,
            "footer-description-foreground": bar_text,
            "footer-description-background": bar,
            "footer-item-background": bar,
        },
    )


THEMES = (
    _theme(
        "jurymast-dark", text=_GREY, bar="#0000aa", bar_text=_WHITE, accent="#55ffff", good="#55ff55", bad="#ff5555",
        note="#ffff55",
    ),
    _theme(
        "jurymast-contrast", text=_WHITE, bar="#ffff55", bar_text=_BLACK, accent="#ffff55", good="#55ff55",
        bad="#ff5555", note="#ffff55",
    ),
    _theme(
        "jurymast-mono", text=_WHITE, bar=_WHITE, bar_text=_BLACK, accent=_WHITE, good=_WHITE, bad=_WHITE, note=_WHITE
    ),
)  # fmt: skip
