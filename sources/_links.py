"""Links that a bank sends for a person to open."""

from urllib.parse import quote, urlsplit

LONGEST = 4096
_AS_THEY_ARE = "!#$%&'()*+,-./:;=?@[]_~"
"""Signs that mean something in an address (RFC 3986); any other is written as browsers do, in percents."""


def web_link(text: str) -> str | None:
    """Returns the link if a browser opens a web page by it and nothing else, else None.

    Not `javascript:`, `file:` or the scheme of an app; no blank or control; no name before an `@`, which looks like a host; no
    host in another script, which looks like another one.
    """
    if len(text) > LONGEST or not text.isprintable() or " " in text or "\\" in text:
        return None
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port or an address that is none
        return None
    plain = parts.netloc.isascii() and not set(parts.netloc) & set("@%\"<>'`{|}")
    return quote(text, safe=_AS_THEY_ARE) if usable and plain else None
