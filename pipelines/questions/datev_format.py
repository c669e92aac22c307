"""The DATEV format: header 700, category 21 (Buchungsstapel), format version 13, as the vendor describes it on its pages for
developers (developer.datev.de: header, posting batch, character set, structure of the file).

A file is one header of 31 fields, the names of 125 columns, and a line of 125 fields a posting. Fields are separated by
semicolons, and columns of text are in quotes, also where they are empty; quotes in a text are doubled. An amount has a decimal
comma and no sign. A day of a line has no year: it lies in the fiscal year that the header names. The character set is
Windows-1252, the only one that each way of import takes.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from text_unidecode import unidecode

from pipelines.text.sinks import line

ENCODING = "cp1252"
LONGEST_BATCH = 99_999
"""Postings that a file may hold."""
LARGEST = Decimal("9999999999.99")
FIRST_YEAR, LAST_YEAR = 2000, 2099
"""The format description allows days of these years only."""
TEXT, DOCUMENT, KIND, CONTENT, LABEL = 60, 36, 20, 210, 30
"""Characters of Buchungstext, Belegfeld 1, Beleginfo-Art, Beleginfo-Inhalt and the header's Bezeichnung."""

_INFOS = [name for number in range(1, 9) for name in (f"Beleginfo - Art {number}", f"Beleginfo - Inhalt {number}")]
_MORE = [name for number in range(1, 21) for name in (f"Zusatzinformation - Art {number}", f"Zusatzinformation- Inhalt {number}")]
_BEFORE = "Umsatz (ohne Soll/Haben-Kz);Soll/Haben-Kennzeichen;WKZ Umsatz;Kurs;Basis-Umsatz;WKZ Basis-Umsatz;Konto"
_ACCOUNTS = "Gegenkonto (ohne BU-Schlüssel);BU-Schlüssel;Belegdatum;Belegfeld 1;Belegfeld 2;Skonto;Buchungstext;Postensperre"
_OPEN_ITEMS = "Diverse Adressnummer;Geschäftspartnerbank;Sachverhalt;Zinssperre;Beleglink"
_TAXES = (
    "KOST1 - Kostenstelle;KOST2 - Kostenstelle;Kost-Menge;EU-Land u. UStID (Bestimmung);EU-Steuersatz (Bestimmung)"
    ";Abw. Versteuerungsart;Sachverhalt L+L;Funktionsergänzung L+L;BU 49 Hauptfunktionstyp;BU 49 Hauptfunktionsnummer"
    ";BU 49 Funktionsergänzung"
)
_REST = (
    "Stück;Gewicht;Zahlweise;Forderungsart;Veranlagungsjahr;Zugeordnete Fälligkeit;Skontotyp;Auftragsnummer;Buchungstyp"
    ";USt-Schlüssel (Anzahlungen);EU-Land (Anzahlungen);Sachverhalt L+L (Anzahlungen);EU-Steuersatz (Anzahlungen)"
    ";Erlöskonto (Anzahlungen);Herkunft-Kz;Buchungs GUID;KOST-Datum;SEPA-Mandatsreferenz;Skontosperre;Gesellschaftername"
    ";Beteiligtennummer;Identifikationsnummer;Zeichnernummer;Postensperre bis;Bezeichnung SoBil-Sachverhalt"
    ";Kennzeichen SoBil-Buchung;Festschreibung;Leistungsdatum;Datum Zuord. Steuerperiode;Fälligkeit;Generalumkehr (GU)"
    ";Steuersatz;Land;Abrechnungsreferenz;BVV-Position;EU-Land u. UStID (Ursprung);EU-Steuersatz (Ursprung);Abw. Skontokonto"
)
COLUMNS = tuple(";".join([_BEFORE, _ACCOUNTS, _OPEN_ITEMS, *_INFOS, _TAXES, *_MORE, _REST]).split(";"))
"""The names as the vendor's own file writes them; what counts is their order."""
_TEXTS = {2, 3, 6, 9, 11, 12, 14, 16, *range(20, 39), 40, 42, *range(48, 88), 91, 95, 96, 98, 102, 103, 105, 107, 109, 110}
_TEXT_COLUMNS = frozenset(_TEXTS | {112, 118, 120, 121, 123})
"""Numbers of the columns whose description has quotes."""
_EMPTY = tuple('""' if number in _TEXT_COLUMNS else "" for number in range(1, len(COLUMNS) + 1))
_NOT_IN_DOCUMENTS = re.compile(r"[^A-Za-z0-9$%/-]")
"""Signs of Belegfeld 1 that the vendor's expression and its text both allow. Only the expression allows an underscore; neither
allows blanks, dots and umlauts."""
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss"})
_DANGEROUS = "=+-@"
"""Text that begins so, a spreadsheet runs as a formula."""


@dataclass(frozen=True, kw_only=True)
class Head:
    """The fields of the header that differ between batches."""

    consultant: str
    client: str
    skr: str
    account_length: int
    fiscal_year: date
    """Its first day."""
    first: date
    last: date
    created_at: datetime
    label: str
    is_locked: bool
    """Festschreibung: nobody changes the batch after its import."""


@dataclass(frozen=True, kw_only=True)
class Posting:
    """A line of a batch: an amount from one account to another. A positive one is a debit (Soll) of `account`."""

    amount: Decimal
    account: str
    counter_account: str
    bu_key: str
    day: date
    document: str
    text: str
    about: Mapping[str, str]
    """Kinds and contents of Beleginfo, eight at most."""


def header(head: Head) -> str:
    """Returns the first line."""
    created = f"{head.created_at:%Y%m%d%H%M%S}{head.created_at.microsecond // 1000:03}"
    days = [f"{day:%Y%m%d}" for day in (head.first, head.last)]
    of_client = [head.consultant, head.client, f"{head.fiscal_year:%Y%m%d}", str(head.account_length), *days]
    made_by = [created, "", _quoted("KL"), _quoted("kontoledger"), _quoted("")]
    label = [_quoted(head.label), _quoted(""), "1", "0", str(int(head.is_locked)), _quoted("EUR")]
    rest = ["", _quoted(""), "", "", _quoted(head.skr), "", "", _quoted(""), _quoted("")]
    return ";".join([_quoted("EXTF"), "700", "21", _quoted("Buchungsstapel"), "13", *made_by, *of_client, *label, *rest])


def names() -> str:
    """Returns the second line."""
    return ";".join(COLUMNS)


def posting(one: Posting, *, is_locked: bool) -> str:
    """Returns a line. The amount is up to `LARGEST`, and not zero."""
    filled = {
        1: f"{abs(one.amount):.2f}".replace(".", ","),
        2: "S" if one.amount > 0 else "H",
        3: "EUR",
        7: one.account,
        8: one.counter_account,
        9: one.bu_key,
        10: f"{one.day:%d%m}",
        11: one.document,
        14: one.text,
        114: str(int(is_locked)),
    }
    for place, (kind, content) in enumerate(one.about.items()):
        filled |= {21 + 2 * place: kind, 22 + 2 * place: content}
    fields = list(_EMPTY)
    for number, value in filled.items():
        fields[number - 1] = _quoted(value) if number in _TEXT_COLUMNS else value
    return ";".join(fields)


def windows_text(text: str) -> tuple[str, bool]:
    """Returns a text on one line in Windows-1252, and whether signs had to be replaced: other scripts are written in Latin, signs
    without a counterpart as `?`. A text that a spreadsheet would run as a formula gets an apostrophe."""
    shown = " ".join(line(unicodedata.normalize("NFC", text)).split())
    if _fits(shown):
        fitting = whole = shown
    else:
        fitting = "".join(sign if _fits(sign) else (unidecode(sign).replace("[?]", "") or "?") for sign in shown)
        whole = " ".join(fitting.split())
    return f"'{whole}" if whole[:1] in _DANGEROUS and whole else whole, fitting != shown


def document_number(text: str) -> tuple[str, bool]:
    """Returns a document's number as Belegfeld 1 takes it, and whether that is another one."""
    plain = text.strip()
    number = _NOT_IN_DOCUMENTS.sub("", unidecode(plain.translate(_UMLAUTS)))[:DOCUMENT]
    return number, number != plain


def _fits(text: str) -> bool:
    try:
        text.encode(ENCODING)
    except UnicodeEncodeError:
        return False
    return True


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
