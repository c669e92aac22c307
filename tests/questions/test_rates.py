"""`rates`: the central bank's own files, taken exactly or not at all."""

import io
import zipfile
from contextlib import suppress
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest

from pipelines.errors import Failure, WrongUsage
from sources._errors import Misconfigured, Unavailable, Unexpected
from sources._http import Patience
from sources.rates.ecb import from_file, from_url, read_rates
from tests.questions.asked import ask, printed_json

DAILY = b"Date, USD, PLN, ISK, \n20 November 2026, 1.0543, 4.2610, N/A, \n"
HISTORY = b"\xef\xbb\xbfDate,USD,PLN,\r\n2026-11-20,1.0543,4.2610,\r\n2026-11-19,1.05,,\r\n\r\n"
PORTAL = (
    b"KEY,FREQ,CURRENCY,CURRENCY_DENOM,TIME_PERIOD,OBS_VALUE\nEXR.D.PLN,D,PLN,EUR,2026-11-20,4.2610\nx,D,USD,EUR,2026-11-20,\n"
)


def rows(content: bytes) -> list[tuple[str, date, Decimal]]:
    return [(row["currency"], row["day"], row["rate"]) for row in read_rates(content).to_pylist()]


def zipped(content: bytes, *names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, content)
    return file.getvalue()


def test_every_form_of_the_file_is_read_exactly() -> None:
    friday, pln, usd = date(2026, 11, 20), Decimal("4.261000"), Decimal("1.054300")

    assert rows(DAILY) == [("PLN", friday, pln), ("USD", friday, usd)]
    assert rows(HISTORY) == [("PLN", friday, pln), ("USD", date(2026, 11, 19), Decimal("1.05")), ("USD", friday, usd)]
    assert rows(PORTAL) == [("PLN", friday, pln)]
    assert rows(zipped(HISTORY, "eurofxref-hist.csv")) == rows(HISTORY)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "the first line"),
        (b"<html>", "the first line"),
        (b"Date,USD\n", "there is no rate"),
        (b"Date,USD\n20.11.2026,1\n", "line 2 has no day"),
        (b"Date,USD\n2026-11-20,1.1234567\n", "line 2 has a rate"),
        (b"Date,USD\n2026-11-20,0\n", "line 2 has a rate"),
        (b"Date,USD\n2026-11-20,-1\n", "line 2 has a rate"),
        (b'Date,USD\n2026-11-20,"1,05"\n', "line 2 has a rate"),
        (b"Date,USD\n2026-11-01,1,1\n", "line 2 has not as many fields"),
        (b"Date,USD,PLN\n2026-11-01,1\n", "line 2 has not as many fields"),
        (b"Date,USD,USD\n2026-11-01,1,2\n", "names a currency twice"),
        (b"Date,USD,EUR\n2026-11-01,1,1\n", "the euro against itself"),
        (b"Date,USD,,PLN\n2026-11-01,1,2,3\n", "names no currency"),
        (PORTAL.replace(b"PLN,EUR,2026", b"PLN,EUR,,2026"), "line 2 has not as many fields"),
        (b"Date,usd\n2026-11-20,1\n", "names no currency"),
        (PORTAL.replace(b"PLN,EUR", b"PLN,USD"), "not a rate against the euro"),
        (PORTAL.replace(b"CURRENCY_DENOM", b"X"), "lacks CURRENCY"),
        (b"OBS_VALUE,CURRENCY,CURRENCY_DENOM,TIME_PERIOD\n1\n", "cut short"),
        (b"\xff\xfe", "no UTF-8"),
        (b"PK\x03\x04 broken", "the archive is damaged"),
        (zipped(DAILY, "a.csv", "b.csv"), "does not hold one CSV"),
    ],
)
def test_what_is_not_understood_is_refused_and_nothing_is_guessed(content: bytes, complaint: str) -> None:
    with pytest.raises(Unexpected, match=complaint):
        read_rates(content)


def test_a_damaged_file_is_a_sentence_wherever_the_damage_is() -> None:
    whole = zipped(DAILY * 20, "eurofxref.csv")
    for at in range(len(whole)):
        for damaged in (whole[:at], whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :]):
            with suppress(Unexpected):
                read_rates(damaged)
    with pytest.raises(Unexpected, match="line 2 is no line of a CSV"):
        read_rates(b"Date,USD\n2026-03-31," + b"1" * 200_000)


def test_an_address_is_asked_over_https_and_no_redirect_is_followed() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert "authorization" not in request.headers
        if request.url.path == "/moved":
            return httpx.Response(302, headers={"Location": "https://elsewhere.test/"})
        return httpx.Response(200 if request.url.path == "/eurofxref.csv" else 404, content=DAILY)

    transport, patience = httpx.MockTransport(answer), Patience((), lambda _: None)
    assert from_url("https://rates.test/eurofxref.csv", transport=transport) == DAILY
    with pytest.raises(Misconfigured, match="answers 404"):
        from_url("https://rates.test/none.csv", transport=transport)
    with pytest.raises(Unexpected, match="redirects"):
        from_url("https://rates.test/moved", transport=transport, patience=patience)

    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no route")

    with pytest.raises(Unavailable, match="Check the network and the address"):
        from_url("https://rates.test/eurofxref.csv", transport=httpx.MockTransport(away), patience=patience)
    for url in ("http://rates.test/eurofxref.csv", "file:///etc/passwd", "rates.csv"):
        with pytest.raises(Misconfigured, match="not https"):
            from_url(url, transport=transport)


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"none\.csv cannot be read"):
        from_file(tmp_path / "none.csv")


@pytest.mark.usefixtures("by_dlt")
def test_rates_are_loaded_merged_and_counted_with(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "first.csv").write_bytes(HISTORY)
    (tmp_path / "second.csv").write_bytes(b"Date,PLN,CZK\n2026-11-20,4.5,25\n")
    ask(tmp_path / "data", "rates", "--file", str(tmp_path / "first.csv"), "--json")
    assert printed_json(capsys) == {"rates": 3, "currencies": ["PLN", "USD"], "from": "2026-11-19", "to": "2026-11-20"}
    ask(tmp_path / "data", "rates", "--file", str(tmp_path / "second.csv"))
    assert "Loaded 2 rates of 2 currencies" in capsys.readouterr().out

    with duckdb.connect(tmp_path / "data" / "ledger.duckdb", read_only=True) as connection:
        found = connection.execute("select currency, day, rate, publisher from exchange_rates order by all").fetchall()
    friday = date(2026, 11, 20)
    assert found == [
        ("CZK", friday, Decimal("25.000000"), "ECB"),
        ("PLN", friday, Decimal("4.500000"), "ECB"),
        ("USD", date(2026, 11, 19), Decimal("1.050000"), "ECB"),
        ("USD", friday, Decimal("1.054300"), "ECB"),
    ]


def test_a_file_or_an_address_is_asked_for_and_a_bad_one_changes_nothing(tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match="either --file or --url"):
        ask(tmp_path, "rates")
    (tmp_path / "bad.csv").write_bytes(b"<html>")
    with pytest.raises(Failure, match="the first line is neither"):
        ask(tmp_path / "data", "rates", "--file", str(tmp_path / "bad.csv"))
    assert not (tmp_path / "data").exists()
