"""Colour themes. `quiet` uses the terminal's background and sixteen colours."""

from __future__ import annotations

from textual.theme import Theme

QUIET_THEME = Theme(
    name="quiet",
    ansi=True,
    primary="ansi_cyan",
    secondary="ansi_cyan",
    warning="ansi_yellow",
    error="ansi_red",
    success="ansi_green",
    accent="ansi_cyan",
    foreground="ansi_default",
    background="ansi_default",
    surface="ansi_default",
    panel="ansi_default",
    boost="ansi_default",
    dark=True,
    variables={
        "ansi-background": "ansi_default",
        "ansi-foreground": "ansi_default",
        "border": "ansi_cyan",
        "border-blurred": "ansi_default",
        "block-cursor-foreground": "ansi_black",
        "block-cursor-background": "ansi_cyan",
        "block-cursor-text-style": "bold",
        "block-hover-background": "ansi_default",
        "input-cursor-background": "ansi_default",
        "input-cursor-foreground": "ansi_default",
        "input-cursor-text-style": "reverse",
        "input-selection-background": "ansi_cyan",
        "input-selection-foreground": "ansi_black",
        "scrollbar": "ansi_cyan",
        "scrollbar-hover": "ansi_cyan",
        "scrollbar-active": "ansi_cyan",
        "scrollbar-background": "ansi_default",
        "scrollbar-background-hover": "ansi_default",
        "scrollbar-background-active": "ansi_default",
        "scrollbar-corner-color": "ansi_default",
        "footer-background": "ansi_default",
        "text-muted": "ansi_default",
        "text-disabled": "ansi_bright_black",
    },
)
LIGHT_THEME = Theme(
    name="light",
    primary="#1f6f8b",
    secondary="#4b6475",
    warning="#8a6100",
    error="#b3261e",
    success="#2d6a2d",
    accent="#1f6f8b",
    foreground="#1c2126",
    background="#fbfbf9",
    surface="#f2f2ee",
    panel="#e6e6e0",
    dark=False,
)
CONTRAST_THEME = Theme(
    name="contrast",
    primary="#00ffff",
    secondary="#ffffff",
    warning="#ffff00",
    error="#ff8080",
    success="#80ff80",
    accent="#00ffff",
    foreground="#ffffff",
    background="#000000",
    surface="#000000",
    panel="#000000",
    boost="#000000",
    dark=True,
    variables={
        "border": "#ffffff",
        "border-blurred": "#ffffff",
        "text-muted": "#ffffff",
        "text-disabled": "#ffffff",
    },
)
THEMES = (QUIET_THEME, LIGHT_THEME, CONTRAST_THEME)


def choose_theme(wanted: str) -> str:
    """Return the name of the wanted theme, or of the default theme if there is no such theme."""
    return wanted if wanted in [theme.name for theme in THEMES] else QUIET_THEME.name
