"""A command's answer, read as it arrives: XML -> Arrow, one batch of rows in memory however long the history is.

Both dialects are read whatever we ask in; the root element says which one it is:

| | published specification | live service (observed) |
|---|---|---|
| root | `<CommandResult>`, fields inside | `<reply><command state=…>` |
| state | `status`: QUEUED, RUNNING, COMPLETED, FAILED | `setup`, `in_progress`, `successful`, `error`, `fatal` |
| account | `<accounts>`, one element an account, or a list of them | `<accounts><account>`, `<creditCards><creditCard>` |
| row | `<transactions>`, one element a row, or a list of them | `<moneyTransactions><moneyTransaction>` |

The order of elements does not matter: a status, a target or a currency may stand behind the rows that it is about.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from lxml import etree

from sources._errors import SourceError
from sources._protocols import Spool
from sources.kontomatik.accounts import (
    ROW_LISTS,
    ROW_NAMES,
    Fields,
    Named,
    Recognise,
    account_fields,
    currency_of,
    institution_of,
    named,
    read_owners,
    repeated,
)
from sources.kontomatik.errors import by_name, fatal, odd, plain_name, unauthorized, web_page, without_reason
from sources.kontomatik.results import AccountRead, CommandState, ImportResult, Reply, Session, Spoken
from sources.kontomatik.rows import BATCH, LIVE, OPENAPI, RowReader
from sources.kontomatik.safe_xml import LARGEST_BODY, broken, child, child_text, guarded, name_of, pull_parser, text_of

STATES: dict[str, CommandState] = {
    "setup": "running",
    "in_progress": "running",
    "successful": "done",
    "error": "failed",
    "fatal": "failed",
    "queued": "running",
    "running": "running",
    "completed": "done",
    "failed": "failed",
}
"""Both dialects' words, in small letters. Any other word is no success, and no end either."""

EXCEPTION_NAMES = ("exception", "error")
ACCOUNT_NAMES = {"account": "account", "Account": "account", "creditCard": "card", "CreditCard": "card"}
ACCOUNT_LISTS = {"accounts": "account", "Accounts": "account", "creditCards": "card", "CreditCards": "card"}
RESULT_KNOWN = {*ACCOUNT_LISTS, "owners", "target", "institution", "session", "multipleAccessToken", "multipleAccessId"}
COMMAND_KNOWN = {"id", "status", "state", "progress", "result", *EXCEPTION_NAMES}


def read_reply(
    chunks: Iterable[bytes],
    new_spool: Callable[[], Spool],
    *,
    recognise: Recognise | None = None,
    largest: int = LARGEST_BODY,
    batch: int = BATCH,
) -> Reply:
    """Reads one answer about a command from its bytes, rows into a spool an account.

    Nothing is kept of an answer that is not a finished import: the spools of a command that runs or failed, or of an answer
    that breaks off, are cleared. Raises `Unexpected` for anything that is not such an answer or not sound XML; what the bank
    itself reports stands in `Reply.exception`.
    """
    reader = _Reader(new_spool, batch, recognise)
    try:
        reply = reader.read(chunks, largest)
    except BaseException:
        reader.clear()
        raise
    if reply.result is None:
        reader.clear()
    return reply


@dataclass
class _Account:
    """An account's element while it is open: how its rows are read, and which of its elements are done with."""

    element: Any
    kind: str | None
    """`account`, `card`, or None while it may still turn out to be a list of accounts."""
    rows: RowReader | None = None
    list_of_rows: Any = None
    last_row: Any = None
    holds_accounts: bool = False


@dataclass
class _Finished:
    fields: Fields
    rows: RowReader | None
    newest_first: bool
    error: SourceError | None


class _Reader:
    def __init__(self, new_spool: Callable[[], Spool], batch: int, recognise: Recognise | None) -> None:
        self._new_spool = new_spool
        self._recognise = recognise
        self._batch = batch
        self._spools: list[Spool] = []
        self._open: list[_Account] = []
        self._finished: list[_Finished] = []
        self._unknown: set[str] = set()
        self._spoken: Spoken | None = None

    def clear(self) -> None:
        for spool in self._spools:
            spool.clear()

    def read(self, chunks: Iterable[bytes], largest: int) -> Reply:
        parser = pull_parser([*ACCOUNT_NAMES, *ACCOUNT_LISTS, *ROW_NAMES])
        try:
            for chunk in guarded(chunks, largest=largest):
                parser.feed(chunk)
                self._take(parser)
            root = parser.close()
            self._take(parser)
        except etree.XMLSyntaxError as error:
            raise broken(error) from None
        if root.getroottree().docinfo.internalDTD is not None:
            raise odd("the answer carries a document type")
        return self._live(root) if spoken_by(root) == "live" else self._openapi(root)

    def _take(self, parser: Any) -> None:
        for event, element in parser.read_events():
            name = element.tag if element.tag in ROW_NAMES else name_of(element)
            if name in ROW_NAMES:
                if event == "end":
                    self._row(element, name)
            elif event == "start":
                self._open_account(element, name)
            elif self._open and self._open[-1].element is element:
                self._close_account(self._open.pop(), name)

    def _open_account(self, element: Any, name: str) -> None:
        """Opens an account, or a list of them; elsewhere the same name means something else."""
        parent = element.getparent()
        if parent is None:
            return
        outer = self._open[-1] if self._open else None
        above = name_of(parent)
        if outer is not None and outer.element is parent and above in ACCOUNT_LISTS:
            outer.holds_accounts = True
        elif outer is not None or (above not in ("result", "command", "reply") and parent.getparent() is not None):
            return
        if self._spoken is None:
            self._spoken = spoken_by(element.getroottree().getroot())
        kind = ACCOUNT_NAMES.get(name)
        if kind is None and outer is not None:  # <accounts><accounts>
            kind = ACCOUNT_LISTS[name]
        self._open.append(_Account(element, kind))

    def _row(self, row: Any, name: str) -> None:
        account = self._open[-1] if self._open else None
        parent = row.getparent()
        if account is None:
            self._unknown.add(f"{name} outside an account")
            row.clear(keep_tail=True)
            return
        if parent is not account.element and parent is not account.list_of_rows:
            if name_of(parent) not in ROW_LISTS or parent.getparent() is not account.element:
                return  # deeper inside a row or an unknown element: read, or kept, with it
            if not len(row) and text_of(row):
                return  # a field of a row
            account.list_of_rows, account.last_row = parent, None
        if row is account.list_of_rows:  # its rows were read one by one
            account.list_of_rows, account.last_row = None, None
            return
        if len(row) or name not in ROW_LISTS:
            if account.rows is None:
                fields = LIVE if self._spoken == "live" else OPENAPI
                account.rows = RowReader(fields, self._spool(), partial(currency_of, account.element), self._batch)
            account.rows.read(row)
        elif row.keys() or text_of(row):
            self._unknown.add(f"account.{name} without rows")
        row.clear(keep_tail=True)
        # The parser may still be writing behind this row, so the one before it goes: it has an end.
        if account.last_row is not None and account.last_row.getparent() is parent:
            parent.remove(account.last_row)
        account.last_row = row

    def _spool(self) -> Spool:
        spool = self._new_spool()
        self._spools.append(spool)
        return spool

    def _close_account(self, account: _Account, name: str) -> None:
        element = account.element
        if name in ACCOUNT_LISTS and (account.holds_accounts or not len(element) or self._spoken == "live"):
            self._note_unknown(element, name, {*ACCOUNT_NAMES, *ACCOUNT_LISTS})
            if account.rows is not None:  # rows of no account: named above, and not loaded
                account.rows.spool.clear()
            element.clear(keep_tail=True)
            return
        fields = account_fields(element, account.kind or ACCOUNT_LISTS[name])
        rows = account.rows
        newest_first, error = rows.finish() if rows else (True, None)
        self._finished.append(_Finished(fields, rows, newest_first, error))
        element.clear(keep_tail=True)

    def _live(self, root: Any) -> Reply:
        command = child(root, "command")
        exception = exception_of(root)
        if command is None:
            session = session_of(root)
            if exception is not None:
                return Reply(None, "failed", exception=exception)
            if session is None and child(root, "comment") is not None:
                return Reply(None, "failed", exception=unauthorized())
            return Reply(None, "done" if session else "unknown", session=session)
        command_id, word = command.get("id"), command.get("state")
        state = STATES.get((word or "").lower(), "unknown")
        exception = exception or exception_of(command)
        if (word or "").lower() == "fatal":
            exception = fatal(command_id, exception.code if exception else None)
        result = child(command, "result")
        self._note_unknown(command, "command", COMMAND_KNOWN | RESULT_KNOWN)
        target = command.get("target") or child_text(result, "target")
        institution = command.get("institution") or child_text(result, "institution") or institution_of(target)
        return self._reply(command_id, state, exception, [result, command], target=target, institution=institution, spoken="live")

    def _openapi(self, root: Any) -> Reply:
        command_id = child_text(root, "id")
        state = STATES.get((child_text(root, "status") or "").lower(), "unknown")
        self._note_unknown(root, "result", COMMAND_KNOWN | RESULT_KNOWN)
        target = child_text(root, "target")
        institution = child_text(root, "institution") or institution_of(target)
        return self._reply(
            command_id, state, exception_of(root), [root], target=target, institution=institution, spoken="openapi"
        )

    def _reply(
        self,
        command_id: str | None,
        state: CommandState,
        exception: SourceError | None,
        places: list[Any],
        *,
        target: str | None,
        institution: str | None,
        spoken: Spoken,
    ) -> Reply:
        if exception is not None:
            state = "failed"
        elif state == "failed":
            exception = without_reason(command_id)
        places = [place for place in places if place is not None]
        session = next(filter(None, map(session_of, places)), None)
        result = None
        if state == "done" and (session is None or self._finished):
            containers = (one for place in places for one in place if name_of(one) == "owners")
            owners, unknown = read_owners(containers, self._recognise)
            if spoken == "live" and places and name_of(places[0]) == "result":
                self._note_unknown(places[0], "result", RESULT_KNOWN)
            tokens = (child_text(place, "multipleAccessToken", "multipleAccessId") for place in places)
            result = ImportResult(
                owners,
                self._accounts(target, institution),
                next(filter(None, tokens), None),
                target,
                institution,
                frozenset(self._unknown | unknown),
            )
        return Reply(command_id, state, result, exception, session, spoken)

    def _accounts(self, target: str | None, institution: str | None) -> list[AccountRead]:
        known = [named(one.fields, target=target, institution=institution) for one in self._finished]
        twice = repeated(one.account_id for one in known)
        return [self._account(one, name, twice) for one, name in zip(self._finished, known, strict=True)]

    def _account(self, one: _Finished, name: Named, twice: frozenset[str]) -> AccountRead:
        error = one.error
        if not name.recognisable:
            error = odd("the answer holds an account without an IBAN, a number or a name to recognise it by")
        elif name.account_id in twice:
            error = odd("the answer holds two accounts that cannot be distinguished")
        spool = one.rows.spool if one.rows else self._spool()
        if error is not None:
            spool.clear()
        return AccountRead(
            account=name.account,
            account_id=name.account_id,
            source_account_id=name.source_account_id,
            partial=one.fields.partial,
            spool=spool,
            newest_first=one.newest_first,
            error=error,
            unknown_fields=frozenset(one.fields.unknown | (one.rows.unknown if one.rows else set())),
        )

    def _note_unknown(self, element: Any, where: str, known: Iterable[str]) -> None:
        self._unknown |= {f"{where}.{name_of(one)}" for one in element if name_of(one) not in known}


def spoken_by(root: Any) -> Spoken:
    """Returns the dialect that an answer is in, by its root. Raises `Unexpected` for a web page or any other document."""
    name = name_of(root).lower()
    if name == "reply":
        return "live"
    if name in ("commandresult", "commandaccepted", "mocksession"):
        return "openapi"
    raise web_page() if name == "html" else odd("the answer is XML of another kind than expected")


def exception_of(element: Any) -> SourceError | None:
    """Returns the failure that `element` reports among its children, in any of the forms that a name may have."""
    found = child(element, *EXCEPTION_NAMES)
    if found is None or not (len(found) or found.keys() or text_of(found)):
        return None
    return by_name(found.get("name") or child_text(found, "name") or plain_name(text_of(found)))


def session_of(element: Any) -> Session | None:
    """Returns a session that `element` names.

    `<session id signature>` (observed), or the published specification's two fields.
    """
    found = child(element, "session")
    if found is not None:
        session_id, signature = found.get("id"), found.get("signature")
        token = child_text(found, "multipleAccessId") or found.get("multipleAccessId") or child_text(element, "multipleAccessId")
    else:
        session_id, signature = child_text(element, "sessionId"), child_text(element, "sessionIdSignature")
        token = child_text(element, "multipleAccessToken")
    target = child_text(found, "target") if found is not None else child_text(element, "target")
    return Session(session_id, signature, token, target) if session_id and signature else None
