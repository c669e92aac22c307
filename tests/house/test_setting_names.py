"""A setting that nobody reads is refused with the name that was meant; what others read is left alone."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import WRONG_USAGE, WrongUsage
from pipelines.settings import NAMES, Settings, load_settings
from pipelines.settings.names import DLTS
from tests.questions.asked import ask
from tests.support import VAULT_KEY

SECRET = "s3cr3t-of-somebody"


def loaded(folder: Path, file: str = "config", content: str = "", **environment: str) -> Settings:
    (folder / ".dlt").mkdir(exist_ok=True)
    (folder / ".dlt" / f"{file}.toml").write_text(content)
    return load_settings(environment=environment, folder=folder)


@pytest.mark.parametrize(
    ("content", "written", "meant"),
    [
        ("[sources.kontist]\nlookback_day = 3", "sources.kontist.lookback_day in config.toml", "sources.kontist.lookback_days"),
        ("[sources.kontomatik]\napi_keys = 'x'", "sources.kontomatik.api_keys in config.toml", "sources.kontomatik.api_key"),
        ("[sources.kontist]\napi_key = 'x'", "sources.kontist.api_key in config.toml", "sources.kontomatik.api_key"),
        ("[pipelines]\ndatadir = 'x'", "pipelines.datadir in config.toml", "pipelines.data_dir"),
        ("[notification]\nemail_to = 'a@b.c'", "[notification] in config.toml", "[notifications]"),
        ("[Pipelines]\ndata_dir = 'x'", "[Pipelines] in config.toml", "[pipelines]"),
        ("[sources.kontomatic]\napi_key = 'x'", "[sources.kontomatic] in config.toml", "[sources.kontomatik]"),
        ("[source.kontist]\nemail = 'x'", "[source.kontist] in config.toml", "[sources.kontist]"),
    ],
)
def test_an_unknown_name_in_a_file_is_refused_with_the_nearest_right_one(
    tmp_path: Path, content: str, written: str, meant: str
) -> None:
    for file in ("config", "secrets"):
        folder = tmp_path / file
        folder.mkdir()
        with pytest.raises(WrongUsage) as refused:
            loaded(folder, file, content)
        assert f"{written.replace('config', file)} is no setting; the nearest name is {meant}" in str(refused.value)
        assert refused.value.exit_status == WRONG_USAGE


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("PIPELINES__DATADIR", "PIPELINES__DATA_DIR"),
        ("PIPELINES_DATA_DIR", "PIPELINES__DATA_DIR"),
        ("PIPELINE__DATA_DIRS", "PIPELINES__DATA_DIR"),
        ("pipelines__data_dir", "PIPELINES__DATA_DIR"),
        ("SOURCES__KONTIST__LOOKBACK_DAY", "SOURCES__KONTIST__LOOKBACK_DAYS"),
        ("SOURCES__KONTOMATIC__APIKEY", "SOURCES__KONTOMATIK__API_KEY"),
        ("SOURCE__KONTIST__PASSWORD", "SOURCES__KONTIST__PASSWORD"),
        ("NOTIFICATION__EMAIL_TO", "NOTIFICATIONS__EMAIL_TO"),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest_right_one_and_without_its_value(
    tmp_path: Path, variable: str, meant: str
) -> None:
    with pytest.raises(WrongUsage, match=f"{variable} is no setting; the nearest name is {meant}") as refused:
        loaded(tmp_path, **{variable: SECRET})
    assert SECRET not in str(refused.value)


def test_every_unknown_name_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(WrongUsage) as refused:
        loaded(tmp_path, content="[pipelines]\nfoo = 1\n[notifications]\nto = 'x'", SOURCES__KONTIST__AUTHS="jwt")
    assert [name in str(refused.value) for name in ("pipelines.foo", "notifications.to", "SOURCES__KONTIST__AUTHS")] == [True] * 3


def test_what_dlt_prefect_and_other_sources_read_is_left_alone(tmp_path: Path) -> None:
    content = """
    pipeline_name = "mine"
    data_dir = "a root key that a source of mine reads"
    [runtime]
    log_level = "ERROR"
    [pipelines]
    dev_mode = true
    [pipelines.mine]
    anything = 1
    [pipeline.destination]
    nested = 1
    [sources.data_writer]
    buffer_max_items = 10
    [sources.kontist]
    max_table_nesting = 0
    [sources.kontist.data_writer]
    disable_compression = true
    [sources.kontist_archive]
    api = "x"
    [sources.stripe]
    lookback_day = 3
    [destination.duckdb]
    credentials = "x"
    """
    names = """
    RUNTIME__LOG_LEVEL PREFECT_API_URL DESTINATION__DUCKDB__CREDENTIALS SOURCES__STRIPE__LOOKBACK_DAY SOURCES__KONTIST2__EMAIL
    SOURCES__KONTIST__DATA_WRITER__BUFFER_MAX_ITEMS SOURCES__DATA_WRITER__FILE_MAX_ITEMS PIPELINES__DEV_MODE
    MINE__SOURCES__KONTIST__EMAIL HOME _ __ PIPELINES EMAIL_TO DATA_DIR
    """
    environment = dict.fromkeys(names.split(), "x")
    assert loaded(tmp_path, content=content, **environment).kontist == Settings().kontist


@given(name=st.from_regex(r"[a-z_]{1,20}", fullmatch=True), section=st.sampled_from(sorted(NAMES)))
def test_a_name_in_our_sections_is_ours_or_dlts_or_refused(name: str, section: str) -> None:
    variable = f"{section}.{name}".replace(".", "__").upper()
    nested = "__" in name or name.endswith("_") or name.startswith("_")
    try:
        load_settings(environment={variable: ""}, folder=Path("/nonexistent"))
    except WrongUsage as refused:
        assert variable in str(refused)
        assert name not in NAMES[section]
    else:
        assert name in NAMES[section] | DLTS or nested


def test_doctor_and_every_other_command_refuse_an_unknown_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINES__DATADIR", str(tmp_path))
    days = ("--from", "2026-03-01", "--to", "2026-03-01")
    for command in (
        *(("doctor",), ("run",), ("run", "--sandbox"), ("status",), ("transform",), ("check",), ("catalog",), ("notify",)),
        *(("prove", "4711", *days), ("explain", "t"), ("export", "--format", "csv"), ("consents",), ("consents", "tend")),
        *(("connect", "kontist"), ("connect", "kontomatik", "--mock"), ("pay", "trail"), ("rates", "--file", "x.csv")),
    ):
        with pytest.raises(WrongUsage, match="the nearest name is PIPELINES__DATA_DIR"):
            ask(tmp_path, *command)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("key", "fault"),
    [
        (VAULT_KEY[:-1], "it has 43 characters and not 44"),
        (f"{VAULT_KEY}AAAA", "it has 48 characters and not 44"),
        (f"{VAULT_KEY[:20]} {VAULT_KEY[20:]}", "it holds white space"),
        (f"{VAULT_KEY[:20]}\n{VAULT_KEY[21:]}", "it holds white space"),
        (f"!{VAULT_KEY[1:]}", "it holds a character that is not of URL-safe base64"),
        (f"ö{VAULT_KEY[1:]}", "it holds a character that is not of URL-safe base64"),
        ("=" * 44, "it is not URL-safe base64 of 32 bytes"),
        ("A" * 44, "it is not URL-safe base64 of 32 bytes"),
        (f"{VAULT_KEY},", "there is nothing before or after a comma"),
        (f"{VAULT_KEY},{VAULT_KEY[:-1]}", "it has 43 characters and not 44"),
    ],
)
def test_a_vault_key_that_is_none_is_named_as_such(tmp_path: Path, key: str, fault: str) -> None:
    with pytest.raises(WrongUsage, match=f"pipelines.vault_key is no vault key: {fault}") as refused:
        loaded(tmp_path, PIPELINES__VAULT_KEY=key)
    assert key not in str(refused.value)


def test_a_vault_key_with_blanks_around_it_and_two_while_one_is_replaced_are_keys(tmp_path: Path) -> None:
    for key in (VAULT_KEY, f" {VAULT_KEY}\n", f"{VAULT_KEY}, {VAULT_KEY}", ""):
        loaded(tmp_path, PIPELINES__VAULT_KEY=key)
