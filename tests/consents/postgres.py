"""A PostgreSQL server of our own, on a socket in a folder; where its programs are installed."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from uuid import uuid4

import pytest
import sqlalchemy as sql

from pipelines.consents.database import Database


def programs() -> Path | None:
    """The folder of `initdb` and `postgres`, if there is one on this machine."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    found = shutil.which("initdb")
    return installed[-1].parent if installed else Path(found).parent if found else None


def programs_or_skip() -> Path:
    """The same folder; skips the test where there is none."""
    found = programs()
    if found is None:
        pytest.skip("PostgreSQL is not installed on this machine: no initdb in /usr/lib/postgresql or on the path")
    return found


class Server:
    """A server with a folder of its own, which can be stopped and started again."""

    def __init__(self, binaries: Path) -> None:
        """Makes its folder; `start` starts it."""
        self._folder = Path(tempfile.mkdtemp(prefix="pg"))
        self._who: dict[str, str] = {}
        if os.getuid() == 0:  # it refuses to be root
            self._who = {"user": "nobody"}
            os.chown(self._folder, pwd.getpwnam("nobody").pw_uid, -1)
        self._postgres = binaries / "postgres"
        data, quiet = self._folder / "data", subprocess.DEVNULL
        begin = [binaries / "initdb", "-D", data, "-U", "vault", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C"]
        subprocess.run(begin, check=True, stdout=quiet, stderr=quiet, cwd=self._folder, **self._who)

    @property
    def url(self) -> str:
        """Returns the address of a database, without its name, to be filled into `{}`."""
        return f"postgresql+psycopg://vault@/{{}}?host={self._folder}"

    def start(self) -> None:
        """Starts it; returns when it takes connections."""
        serve = [self._postgres, "-D", self._folder / "data", "-k", self._folder, "-c", "listen_addresses=", "-c", "fsync=off"]
        self._process = subprocess.Popen(serve, stderr=subprocess.PIPE, text=True, cwd=self._folder, **self._who)
        assert any("ready to accept" in line for line in self._process.stderr)
        self._log = Thread(target=self._process.stderr.read)  # a log that nobody reads stops the server once the pipe is full
        self._log.start()

    def stop(self, how: int = signal.SIGINT) -> None:
        """Stops it, also if somebody has not closed a connection. With SIGQUIT at once, as `pg_ctl stop -m immediate`."""
        self._process.send_signal(how)
        self._process.wait()
        self._log.join()
        self._process.stderr.close()

    def remove(self) -> None:
        """Removes its folder."""
        shutil.rmtree(self._folder)


@contextmanager
def own_server(binaries: Path) -> Iterator[Server]:
    """Runs a server while the block does."""
    found = Server(binaries)
    found.start()
    try:
        yield found
    finally:
        found.stop()
        found.remove()


@contextmanager
def server(binaries: Path) -> Iterator[str]:
    """Runs while the block does; gives the address of a database, without its name, to be filled into `{}`."""
    with own_server(binaries) as found:
        yield found.url


def empty_database(server: str) -> str:
    """Makes a database on the server; gives its address."""
    name = f"vault_{uuid4().hex}"
    administer(server, f"create database {name}")
    return server.format(name)


def administer(server: str, *statements: str) -> None:
    """Executes statements on the server, each at once."""
    admin = sql.create_engine(server.format("postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    admin.dispose()


class away:  # noqa: N801
    """The database of that vault takes no connections while the block runs, and ends those that there are."""

    def __init__(self, database: Database, server: str) -> None:
        self._name, self._server = database._engine.url.database, server

    def __enter__(self) -> None:
        administer(
            self._server,
            f"alter database {self._name} allow_connections false",
            f"select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = '{self._name}'",
        )

    def __exit__(self, *_: object) -> None:
        administer(self._server, f"alter database {self._name} allow_connections true")
