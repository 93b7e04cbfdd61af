"""Text of unknown origin, made fit to be shown on a terminal."""


def printable(text: str) -> str:
    """The text with everything that steers a terminal written as an escape."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
