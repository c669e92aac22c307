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

import sqlalchemy as sql

from pipelines.consents.database import Database


def programs() -> Path | None:
    """The folder of `initdb` and `postgres`, if there is one on this machine."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    found = shutil.which("initdb")
    return installed[-1].parent if installed else Path(found).parent if found else None


@contextmanager
def server(binaries: Path) -> Iterator[str]:
    """Runs while the block does; gives the address of a database, without its name, to be filled into `{}`."""
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    who: dict[str, str] = {}
    if os.getuid() == 0:  # it refuses to be root
        who = {"user": "nobody"}
        os.chown(folder, pwd.getpwnam("nobody").pw_uid, -1)
    data, quiet = folder / "data", subprocess.DEVNULL
    begin = [binaries / "initdb", "-D", data, "-U", "vault", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C"]
    subprocess.run(begin, check=True, stdout=quiet, stderr=quiet, cwd=folder, **who)  # type: ignore[call-overload]
    serve = [binaries / "postgres", "-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off"]
    with subprocess.Popen(serve, stderr=subprocess.PIPE, text=True, cwd=folder, **who) as process:  # type: ignore[call-overload]
        try:
            assert any("ready to accept" in line for line in process.stderr)
            log = Thread(target=process.stderr.read)  # a log that nobody reads stops the server once the pipe is full
            log.start()
            yield f"postgresql+psycopg://vault@/{{}}?host={folder}"
        finally:
            process.send_signal(signal.SIGINT)  # SIGTERM would wait for whoever has not closed a connection
            process.wait()
    shutil.rmtree(folder)


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
