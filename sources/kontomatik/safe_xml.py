"""XML and JSON of the bank, taken in safely: no document types, no entities, no network, a limit on size.

A document type is refused before anything behind it is read, so that neither an expanding entity nor one that points to a
file or a host is ever looked at. The bank writes UTF-8 (observed); another encoding is refused, because the check above
reads bytes.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from lxml import etree

from sources._errors import SourceError
from sources.kontomatik.errors import odd, spoilt, web_page

LARGEST_BODY = 1 << 30
"""Bytes of one answer, unpacked. 100,000 transactions are some 60 MB."""
LONGEST_PROLOG = 1 << 16

_MARK = b"\xef\xbb\xbf"
_HTML_TYPE = b"<!doctype html"
_SKIPPED = re.compile(rb"\s*(?:(?:<\?.*?\?>|<!--.*?-->)\s*)*", re.DOTALL)
_ENCODING = re.compile(rb"""<\?xml[^>]*?\sencoding\s*=\s*["']([^"']*)["']""")
_ROOT = re.compile(rb"<([^\s/>!?&<]+)[\s/>]")

_PARSER_OPTIONS: dict[str, Any] = {
    "encoding": "utf-8",
    "resolve_entities": False,
    "no_network": True,
    "load_dtd": False,
    "dtd_validation": False,
    "huge_tree": False,
    "remove_comments": True,
    "remove_pis": True,
}


def pull_parser(tags: Iterable[str]) -> Any:
    """Returns a parser that takes bytes as they arrive, and reports the start and end of `tags` in any namespace."""
    return etree.XMLPullParser(events=("start", "end"), tag=[f"{{*}}{tag}" for tag in tags], **_PARSER_OPTIONS)


def guarded(chunks: Iterable[bytes], *, largest: int = LARGEST_BODY) -> Iterator[bytes]:
    """Returns `chunks` of an XML document, once its first bytes are known to hold no document type.

    Raises `Unexpected` for a document type, a web page, another encoding, something that is not XML, or too many bytes.
    """
    size = 0
    head: bytes | None = b""
    for chunk in chunks:
        size += len(chunk)
        if size > largest:
            raise odd(f"the answer is larger than {largest} bytes")
        if head is None:
            yield chunk
            continue
        head += chunk
        if _is_sound(head):
            yield head
            head = None
        elif len(head) > LONGEST_PROLOG:
            raise odd("the answer does not begin like XML")
    if head is not None:
        raise spoilt("the answer breaks off before its first element" if head.strip() else "the answer is empty")


def _is_sound(head: bytes) -> bool:
    """Returns True when `head` reaches the root element with nothing forbidden before it; False when more bytes are needed."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in head:
        raise odd("the answer is not UTF-8")
    if _MARK.startswith(head):
        return False
    head = head.removeprefix(_MARK)
    skipped = _SKIPPED.match(head)
    rest = head[skipped.end() :] if skipped else head
    if not rest or rest.startswith((b"<!--", b"<?")) or b"<!--".startswith(rest):
        return False
    if not rest.startswith(b"<"):
        raise spoilt("the bank answered with JSON where XML should be" if rest[:1] in (b"{", b"[") else "the answer is not XML")
    start = rest[: len(_HTML_TYPE)].lower()
    if _HTML_TYPE.startswith(start):  # perhaps not all of it is here
        if len(start) == len(_HTML_TYPE):
            raise web_page()
        return False
    if start.startswith(b"<!doctype"):
        raise odd("the answer carries a document type")
    root = _ROOT.match(rest)
    if root is None:
        if re.fullmatch(rb"<[^\s/>!?&<]+", rest):
            return False
        raise odd("the answer is not XML")
    if root[1].lower().rsplit(b":", 1)[-1] == b"html":
        raise web_page()
    encoding = _ENCODING.match(head)
    if encoding and encoding[1].lower() not in (b"utf-8", b"utf8", b"us-ascii"):
        raise odd("the answer is not UTF-8")
    return True


def broken(error: etree.XMLSyntaxError) -> SourceError:
    """Returns the error for XML that cannot be read: it names the line and nothing of what stands there."""
    return spoilt(f"the answer is broken or cut off XML (line {error.lineno or 1})")


def small_document(body: bytes) -> Any:
    """Returns the root element of a short answer. Raises `Unexpected` as `guarded` does, and for broken XML."""
    parser = etree.XMLParser(**_PARSER_OPTIONS)
    try:
        for chunk in guarded([body]):
            parser.feed(chunk)
        return parser.close()
    except etree.XMLSyntaxError as error:
        raise broken(error) from None


def json_object(body: bytes) -> dict[str, Any]:
    """Returns a JSON object. Raises `Unexpected` for anything else, in particular for a web page."""
    if body.lstrip()[:1] == b"<":
        small_document(body)  # says what is wrong with it, if it is a web page
        raise odd("the bank answered with XML where JSON should be")
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise odd("the answer is not JSON") from None
    if not isinstance(found, dict):
        raise odd("the answer is JSON of another kind than expected")
    return found


def name_of(element: Any) -> str:
    """Returns an element's name without its namespace."""
    tag: str = element.tag
    return tag.rpartition("}")[2]


def text_of(element: Any) -> str | None:
    """Returns an element's text without the space around it, or None if there is none."""
    if element is None or element.text is None:
        return None
    return element.text.strip() or None


def child(element: Any, *names: str) -> Any:
    """Returns the first child element with one of these names, or None."""
    if element is None:
        return None
    return next((one for one in element if name_of(one) in names), None)


def child_text(element: Any, *names: str) -> str | None:
    """Returns the text of the first child with one of these names."""
    return text_of(child(element, *names))


def nested(element: Any) -> Any:
    """Returns an element as JSON would have it: its text, or an object of its attributes (`@name`), children and text."""
    attributes = {f"@{key}": value for key, value in element.items() if not key.startswith("{")}
    if not len(element) and not attributes:
        return text_of(element)
    found: dict[str, Any] = dict(attributes)
    for one in element:
        put(found, name_of(one), nested(one))
    if text := text_of(element):
        found["#text"] = text
    return found


def put(found: dict[str, Any], name: str, value: Any) -> None:
    """Adds `value` under `name`; a name that comes again makes a list."""
    if name not in found:
        found[name] = value
    elif isinstance(found[name], list):
        found[name].append(value)
    else:
        found[name] = [found[name], value]


def as_json(value: Any) -> str | None:
    """Returns compact JSON text in a fixed order, or None for nothing."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")) if value else None
