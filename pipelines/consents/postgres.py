"""Connects to PostgreSQL so that each side notices within half a minute when the other one is gone.

A network that is cut, or a host that loses its power, sends nothing: without these settings a process would wait for an answer
for hours, and its server would keep a session with all its locks as long.
"""

from typing import Any

import sqlalchemy as sql

OURS = {
    "connect_timeout": "30",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "25000",
}
"""Parameters of libpq. The last one, in milliseconds, is for what was sent and not received; keepalives are for silence."""
SERVERS = {"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3", "tcp_user_timeout": "25000"}
"""The server's settings for a session."""
_LIBPQ = ("psycopg", "psycopg2")
"""Drivers that take libpq's parameters."""


def engine_of(url: str | sql.URL, **more: Any) -> sql.Engine:
    """Returns the engine of an address; parameters that the address names itself stay. Takes what `create_engine` takes."""
    address = sql.make_url(url)
    if address.get_driver_name() in _LIBPQ:
        address = address.update_query_dict({name: value for name, value in OURS.items() if name not in address.query})
    engine = sql.create_engine(address, **more)
    sql.event.listen(engine, "connect", _session_ends_soon)
    return engine


def _session_ends_soon(connection: Any, _record: Any) -> None:
    """Has the server end the session, and give back its locks, soon after the host is gone."""
    with connection.cursor() as cursor:
        cursor.execute(f"select {settings_of(SERVERS)}")
    connection.commit()


def settings_of(settings: dict[str, str]) -> str:
    """Returns the SQL that gives a session these settings."""
    return ", ".join(f"set_config('{name}', '{value}', false)" for name, value in settings.items())
