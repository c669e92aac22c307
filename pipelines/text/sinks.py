"""What a bank sends is text: a function for each place that would read more into it.

    line           a terminal, a line of the log, the subject of a mail: one line, and nothing that steers or hides
    lines          the same for text of ours with several lines
    json_text      JSON on a terminal: one line, the same value
    markdown       Markdown and HTML: every sign stands for itself
    cell           a cell of a table in Prefect's pages, which reads only links
    chat           Slack and other chats: no mention, no link
    slack          the same for Slack's own markup

`rich` never gets a string but only `Text` (`pipelines/text/tables.py`), and `print` is `pipelines/commands/terminal.py`'s alone.
CSV has its own rule in `pipelines/questions/exports.py`. Journals, Excel, XML (`xml_text.py`) and SWIFT (`swift_text.py`) have
modules of their own beside it, links to sign in with in `sources/_links.py`.
"""

import json
import re
import unicodedata
from typing import Any

_BLANKS = re.compile("[\t\n\v\f\r\x1c-\x1f\x85\u2028\u2029]+")
"""Signs that begin a new line somewhere, or stand for a gap in one."""
_JOINERS = "\u200c\u200d"
"""They look like nothing and are spelling: Persian and Hindi need them."""
_STEERS = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Controls, escapes, marks that turn the direction of writing, halves of signs."""
_BEYOND_ASCII = re.compile("[^ -~]")
_MARKUP = re.compile(r"[\\`*\[\]<>&~|!#@$]|(?<!\w)_|_(?!\w)|:(?=//)|(?<=www)\.|^[-+=]|^\d{1,9}[.)]", re.IGNORECASE)
"""What Markdown reads as more than text: signs, addresses, and what makes a list or a heading where a line begins."""
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_CALLS = re.compile(r"[@!<](?=\S)|\](?=\()|:(?=//)|\bwww(?=\.)", re.IGNORECASE)
"""Begins of a mention, an image, a tag, a link."""


def line(text: object) -> str:
    """Returns the text as one line. What would steer a terminal or hide stands as its escape: `\\x1b`, `\\u202e`."""
    shown = str(text)
    if shown.isprintable():
        return shown
    return "".join(_visible(sign) for sign in _BLANKS.sub(" ", shown))


def lines(text: str) -> str:
    """Returns text of ours line by line. A value of a bank in it has to be a `line` already, or it could begin one of its own."""
    return "\n".join(line(one) for one in text.split("\n"))


def json_text(content: Any) -> str:
    """Returns JSON on one line whose value is the same, with escapes for what would steer a terminal."""
    return json_shown(json.dumps(content, default=str, ensure_ascii=False))


def json_shown(text: str) -> str:
    """Returns JSON that is written already with the same escapes."""
    return _BEYOND_ASCII.sub(_escaped, text)


def markdown(text: object) -> str:
    """Returns Markdown, and HTML, that shows just this text on one line: no link, image, tag, heading, table or code."""
    return _MARKUP.sub(_literally, line(text).strip())


def cell(value: object) -> object:
    """Returns the cell of a table in Prefect's pages; they show text as it is, but for a link of Markdown."""
    return line(value).replace("](", "] (") if isinstance(value, str) else value


def chat(text: str) -> str:
    """Returns a message that mentions no person (`<!channel>`, `@here`) and holds no link and no image, whatever the chat's
    markup.

    A blank keeps apart what would begin one. Apprise makes a mention even of `!here>`.
    """
    return _CALLS.sub(lambda begin: f"{begin[0]} ", lines(text))


def slack(text: str) -> str:
    """Returns a message for Slack: as `chat`, and its three signs escaped as Slack wants them."""
    return chat(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _literally(found: re.Match[str]) -> str:
    return _ENTITIES.get(found[0], f"{found[0][:-1]}\\{found[0][-1]}")


def _visible(sign: str) -> str:
    if sign in _JOINERS or unicodedata.category(sign) not in _STEERS:
        return sign
    return sign.encode("unicode_escape").decode("ascii")


def _escaped(sign: re.Match[str]) -> str:
    if sign[0] == "\n" or unicodedata.category(sign[0]) not in _STEERS:
        return sign[0]
    return json.dumps(sign[0])[1:-1] if sign[0] != "\x7f" else "\\u007f"
