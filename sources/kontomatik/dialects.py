"""What the two dialects ask differently: `openapi`, the published specification, and `live`, the service as observed.

Only requests and their immediate answers live here. What a command brings is read in either dialect (`reply.py`).
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import date
from typing import Any

from sources._links import web_link
from sources.kontomatik.accounts import institution_of
from sources.kontomatik.errors import by_name, odd, plain_name, wrong_dialect
from sources.kontomatik.reply import exception_of, session_of, spoken_by
from sources.kontomatik.results import AccessMode, Command, Institution, Session, SignIn, SignInState, SignInStatus, Spoken
from sources.kontomatik.safe_xml import child, child_text, json_object, name_of, small_document

Form = dict[str, str]
YEARS_BACK = 10
"""The live service is always given a first day (observed); this far back stands for everything."""

_SIGN_IN_WORDS: Mapping[str, SignInState] = {
    "completed": "completed",
    "success": "completed",
    "successful": "completed",
    "failed": "failed",
    "failure": "failed",
    "error": "failed",
    "expired": "expired",
}
"""In small letters. The live service's full list is not known: any other word means not finished."""


class Dialect(ABC):
    """Paths, field names and immediate answers."""

    name: Spoken
    catalog_path: str
    consent_field: str
    sign_in_field: str

    @abstractmethod
    def mock(self, fields: Form) -> Form:
        """Returns the form of a mock session."""

    @abstractmethod
    def sign_in(
        self, target: str, access_mode: AccessMode, redirect_url: str | None, owner: str | None, country: str, locale: str
    ) -> dict[str, Any]:
        """Returns the JSON that starts a sign-in."""

    @abstractmethod
    def signing_in(self, answer: dict[str, Any]) -> SignIn:
        """Returns the sign-in that the bank has started."""

    @abstractmethod
    def catalog_of(self, body: bytes) -> list[Institution]:
        """Returns every entry of the catalog."""

    @abstractmethod
    def first_day(self, since: date | None, today: date) -> date | None:
        """Returns the value of `since` to send; None sends nothing."""

    @abstractmethod
    def reuse(self, token: str, since: date | None) -> Form:
        """Returns the form that reuses a consent."""

    @abstractmethod
    def start(self, session: Session, since: date | None, owner: str | None) -> Form:
        """Returns the form that starts an import."""

    def sign_in_status(self, answer: dict[str, Any]) -> SignInStatus:
        """Returns how far a sign-in is, from either dialect's words."""
        params = answer.get("params")
        params = params if isinstance(params, dict) else {}
        state = _SIGN_IN_WORDS.get(str(answer.get("status") or "").lower(), "pending")
        name = exception_in(answer)
        target = _text(params.get("target"))
        institution = _text(params.get("institution")) or institution_of(target)
        if state != "completed":
            exception = by_name(name) if name is not None else None
            return SignInStatus("failed" if name and state == "pending" else state, None, exception, target, institution)
        return SignInStatus(state, self._session(params), None, target, institution)

    def _session(self, params: dict[str, Any]) -> Session | None:
        session_id, signature = _text(params.get("sessionId")), _text(params.get("sessionIdSignature"))
        if not session_id or not signature:
            return None
        token = _text(params.get("multipleAccessId")) or _text(params.get("multipleAccessToken"))
        return Session(session_id, signature, token, _text(params.get("target")))

    def accepted(self, body: bytes) -> Session | Command:
        """Returns the session or command that a request has led to.

        Raises the named failure, `Misconfigured` for an answer in the other dialect, or `Unexpected`.
        """
        root = small_document(body)
        spoken = spoken_by(root)
        command = child(root, "command") if spoken == "live" else root
        failure = exception_of(root) or (exception_of(command) if command is not None else None)
        if failure is not None:
            raise failure
        if spoken != self.name:
            raise wrong_dialect(self.name)
        if session := session_of(root) or session_of(child(command, "result")):
            return session
        command_id = None if command is None else command.get("id") or child_text(command, "id")
        if command_id:
            return Command(command_id)
        raise odd("the answer names neither a session nor a command")


class OpenApi(Dialect):
    """The published specification."""

    name = "openapi"
    catalog_path = "ais-catalog"
    consent_field = "multipleAccessToken"
    sign_in_field = "sessionId"

    def mock(self, fields: Form) -> Form:  # noqa: ARG002
        """Returns an empty form."""
        return {}

    def sign_in(
        self,
        target: str,
        access_mode: AccessMode,
        redirect_url: str | None,
        owner: str | None,
        country: str,  # noqa: ARG002
        locale: str,  # noqa: ARG002
    ) -> dict[str, Any]:
        """Returns the JSON; `target` and `accessMode` are required."""
        return _given({"target": target, "accessMode": access_mode, "ownerExternalId": owner, "redirectUrl": redirect_url})

    def signing_in(self, answer: dict[str, Any]) -> SignIn:
        """Returns the sign-in; its session is named at once."""
        session_id, link = _text(answer.get("sessionId")), _text(answer.get("redirectUrl"))
        if not session_id or not link:
            raise wrong_dialect(self.name) if "redirectionId" in answer else odd("the answer starts no sign-in")
        return SignIn(session_id, _web(link), self._session(answer))

    def catalog_of(self, body: bytes) -> list[Institution]:
        """Returns the entries of JSON: `targets` with `id`, `country`, `name`, `accessModes`."""
        if body.lstrip()[:1] == b"<" and spoken_by(small_document(body)) == "live":
            raise wrong_dialect(self.name)
        targets = json_object(body).get("targets")
        found = []
        for one in targets if isinstance(targets, list) else []:
            target = _text(one.get("id")) if isinstance(one, dict) else None
            if target:
                modes = one.get("accessModes")
                found.append(
                    Institution(
                        target,
                        institution_of(target) or target,
                        _text(one.get("name")) or target,
                        (_text(one.get("country")) or "").lower(),
                        frozenset(str(mode).upper() for mode in modes) if isinstance(modes, list) else frozenset(),
                    )
                )
        return found

    def first_day(self, since: date | None, today: date) -> date | None:
        """Returns `since`, which is optional; without it the bank gives everything."""
        return None if since is None else min(since, today)

    def reuse(self, token: str, since: date | None) -> Form:
        """Returns the form of the import itself."""
        return _given({self.consent_field: token, "since": since and since.isoformat()})

    def start(self, session: Session, since: date | None, owner: str | None) -> Form:
        """Returns the form; an import may name its owner."""
        return _session_fields(session) | _given({"since": since and since.isoformat(), "ownerExternalId": owner})


class Live(Dialect):
    """The service as observed."""

    name = "live"
    catalog_path = "catalog.xml"
    consent_field = "multipleAccessId"
    sign_in_field = "redirectionId"

    def mock(self, fields: Form) -> Form:
        """Returns the form with every field."""
        return fields

    def sign_in(
        self,
        target: str,
        access_mode: AccessMode,
        redirect_url: str | None,
        owner: str | None,
        country: str,
        locale: str,
    ) -> dict[str, Any]:
        """Returns the JSON. The customer chooses the bank behind the link; `target` only names its country."""
        country = country or country_of(target)
        return _given({"redirectUri": redirect_url, "ownerExternalId": owner, "country": country, "locale": locale}) | {
            "psd2": {"accessMode": access_mode}
        }

    def signing_in(self, answer: dict[str, Any]) -> SignIn:
        """Returns the sign-in; its session comes later, with the status."""
        redirection_id, link = _text(answer.get("redirectionId")), _text(answer.get("redirectionLink"))
        if not redirection_id or not link:
            raise wrong_dialect(self.name) if "redirectUrl" in answer else odd("the answer starts no sign-in")
        return SignIn(redirection_id, _web(link))

    def catalog_of(self, body: bytes) -> list[Institution]:
        """Returns the entries of XML: `<target name institution officialName country beta>`."""
        if body.lstrip()[:1] == b"{":
            raise wrong_dialect(self.name)
        root = small_document(body)
        if spoken_by(root) != "live":
            raise wrong_dialect(self.name)
        return [
            Institution(
                one.get("name"),
                one.get("institution") or institution_of(one.get("name")) or one.get("name"),
                one.get("officialName") or one.get("name"),
                (one.get("country") or "").lower(),
                beta=one.get("beta") == "true",
            )
            for one in root.iter("{*}target")
            if name_of(one) == "target" and one.get("name")
        ]

    def first_day(self, since: date | None, today: date) -> date | None:
        """Always sent."""
        if since is not None:
            return min(since, today)
        return today.replace(year=today.year - YEARS_BACK, day=min(today.day, 28))  # any month has a 28th

    def reuse(self, token: str, since: date | None) -> Form:  # noqa: ARG002
        """Returns a form with the token only: it gives a new session, and the import is a request of its own."""
        return {self.consent_field: token}

    def start(self, session: Session, since: date | None, owner: str | None) -> Form:  # noqa: ARG002
        """Returns the form without an owner, who is bound at the sign-in."""
        return _session_fields(session) | _given({"since": since and since.isoformat()})


DIALECTS: Mapping[str, type[Dialect]] = {"openapi": OpenApi, "live": Live}


def exception_in(answer: dict[str, Any]) -> str | None:
    """Returns the name of the failure that a JSON answer reports, wherever it stands; None if it reports none."""
    params = answer.get("params")
    for place in (params, answer):
        found = place.get("exception") if isinstance(place, dict) else None
        if isinstance(found, dict):
            found = found.get("name")
        if found:
            return plain_name(str(found))
    return None


def country_of(target: str) -> str:
    """Returns the country that a target's name ends with (`KontoBankApi_cz`); Poland's have no ending (observed)."""
    ending = re.search(r"_([a-z]{2})$", target)
    return ending[1] if ending else "pl"


def _session_fields(session: Session) -> Form:
    return {"sessionId": session.session_id, "sessionIdSignature": session.signature}


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}


def _web(link: str) -> str:
    """Returns the link that a person will open. Raises `Unexpected` for one that is no web page's."""
    usable = web_link(link)
    if usable is None:
        raise odd("the link to sign in with is no address of a web page")
    return usable


def _text(value: Any) -> str | None:
    return str(value).strip() or None if isinstance(value, str | int) and not isinstance(value, bool) else None
