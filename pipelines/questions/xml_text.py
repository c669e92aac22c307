"""Text for XML files: on one line, and without signs that XML cannot hold, escaped or not."""

from pipelines.text.sinks import line

NO_XML = {0xFFFE: "\ufffd", 0xFFFF: "\ufffd"}
"""Signs that XML does not allow, beside the controls."""


def plain(text: str) -> str:
    """Returns text on one line; a control or a half of a sign stands as its escape (`\\x1b`)."""
    return line(text).translate(NO_XML).strip()
