"""What an HTTP answer of Kontist means: the bytes of its JSON, or the error that says what to do next.

Error bodies look like RFC 7807 (observed), but the vendor's error table is another product's boilerplate. So
only the status counts, and no error repeats what the bank wrote: it may quote an account number or an e-mail address.
"""

import json
import math
from typing import Any

import httpx
import msgspec

from sources._errors import ConsentGone, Misconfigured, Rejected, SourceError, Unavailable, Unexpected

BANK = "kontist"
LOG_IN_AGAIN = (
    "Log in again, which may ask for a confirmation on your phone (MFA): python -m pipelines connect kontist"
    " (with the dlt source alone: give it a new refresh_token)"
)
ASK_A_PERSON = "Nothing of it was stored; tell the maintainers if it stays so"


def json_bytes(response: httpx.Response) -> bytes:
    """Returns the body of a good answer, unparsed. Raises the error that the status stands for, `Unexpected` for a web page."""
    if not response.is_success:
        raise refusal(response.status_code)
    if is_web_page(response):
        raise Unexpected(BANK, "the bank sent a web page where JSON should be", "Check the setting sources.kontist.base_url")
    return response.content


def is_web_page(response: httpx.Response) -> bool:
    """Returns whether the answer is a web page for people: from a proxy, a maintenance page, a server that does not know the
    address."""
    return response.content.lstrip()[:1] == b"<" or "html" in response.headers.get("Content-Type", "")


def refuses_token(response: httpx.Response) -> bool:
    """Returns whether the bank does not accept a token, or the code for one.

    Raises `Unexpected` for a web page with such a status: a proxy or a portal has answered, and no login ends by that.
    """
    if response.status_code not in (400, 401, 422):
        return False
    if is_web_page(response):
        next_step = "Check the network, its proxy and sources.kontist.base_url"
        raise Unexpected(BANK, "a web page answers where the login should", next_step)
    return True


def decoded(body: bytes | msgspec.Raw, kind: Any = Any) -> Any:
    """Returns `body` as a `kind`. Raises `Unexpected` for broken JSON and for JSON of another shape, and quotes neither."""
    try:
        try:
            return msgspec.json.decode(body, type=kind)
        except msgspec.DecodeError:  # its ValidationError among them: a number may be beyond any column
            return msgspec.json.decode(_readable(bytes(body)), type=kind)
    except msgspec.ValidationError:
        raise Unexpected(BANK, "the bank's JSON has another shape than documented", ASK_A_PERSON) from None
    except (ValueError, RecursionError):
        raise Unexpected(BANK, "the bank's answer is not whole, valid JSON", "Try again; " + ASK_A_PERSON.lower()) from None


def _readable(body: bytes) -> bytes:
    """Returns JSON that msgspec can read, from JSON that it refuses: with half a character, or with a number beyond any column.

    A backend that counts in UTF-16 may cut an emoji in two and write one half. A number like `1e400` or one of 5,000 digits
    becomes a text, so that it costs its own row and not the whole answer. Raises `ValueError` if it is not JSON otherwise.
    """
    text = json.dumps(json.loads(body, parse_int=_whole, parse_float=_fraction), ensure_ascii=False)
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def _whole(digits: str) -> int | str:
    return int(digits) if len(digits) < 20 else digits


def _fraction(digits: str) -> float | str:
    number = float(digits)
    return number if math.isfinite(number) else digits


def refusal(status: int) -> SourceError:
    """Returns the error that an HTTP status stands for, below 500 as well as above."""
    code = str(status)
    match status:
        case 401:
            return ConsentGone(BANK, "the bank does not accept the login any more", LOG_IN_AGAIN, code=code)
        case 403:
            return Rejected(
                BANK,
                "the bank refuses access with this login: its token is not confirmed, or lacks the permission",
                "Log in with a refresh token that was confirmed on your phone (MFA): python -m pipelines connect kontist",
                code=code,
            )
        case 404:
            return Misconfigured(
                BANK, "the bank does not know the address that was asked for", "Check sources.kontist.base_url", code=code
            )
        case 429:
            return Unavailable(
                BANK, "the bank says that we ask too often", "Wait, or lower sources.kontist.requests_per_minute", code=code
            )
        case 408 | 425:
            return Unavailable(BANK, f"the bank answered {status}", "Try again later", code=code)
        case _ if status >= 500:
            return Unavailable(BANK, f"the bank answered {status}", "Try again later", code=code)
        case _:
            return Rejected(BANK, f"the bank refused the request with status {status}", ASK_A_PERSON, code=code)
