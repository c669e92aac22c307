"""An S3 server on loopback: moto's, which looks at signatures and rights here, and can be killed in the middle of an answer.

Its objects stay when it dies, as those of a server with a disk do.
"""

import json
import logging
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest
from moto import settings as moto_settings
from moto.core import DEFAULT_ACCOUNT_ID
from moto.iam.models import iam_backends
from moto.s3.models import s3_backends
from moto.server import DomainDispatcherApplication, create_backend_app
from s3fs import S3FileSystem
from werkzeug.serving import BaseWSGIServer, make_server

App = Callable[[dict[str, Any], Any], Iterable[bytes]]
REGION = "eu-central-1"
ALL = ("s3:*",)


@dataclass
class S3Server:
    """The server. `dies_in` is the call that kills it, once: method and part of the address. `lacks`: queries unknown to it."""

    dies_in: tuple[str, str] | None = None
    lacks: set[str] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)
    _port: int = 0
    _server: BaseWSGIServer | None = None

    @property
    def url(self) -> str:
        """Returns its address."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def is_up(self) -> bool:
        """Returns whether it answers."""
        return self._server is not None

    def start(self) -> None:
        """Serves, on the same port as before."""
        self._server = make_server("127.0.0.1", self._port, self._answer, threaded=True)
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def kill(self) -> None:
        """Stops at once. Later connections are refused."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def variables(self, user: str, allowed: tuple[str, ...] = ALL) -> dict[str, str]:
        """Makes a user with these rights; returns the environment variables by which a process is this user."""
        iam = iam_backends[DEFAULT_ACCOUNT_ID]["aws"]
        user = f"{user}-{uuid4().hex}"  # all servers of a process have the same users
        iam.create_user("aws", user)
        rights = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": list(allowed), "Resource": "*"}]}
        iam.put_user_policy(user, "all", json.dumps(rights))
        key = iam.create_access_key(user)
        return {
            "AWS_ACCESS_KEY_ID": key.access_key_id,
            "AWS_SECRET_ACCESS_KEY": key.secret_access_key,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL_S3": self.url,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_MAX_ATTEMPTS": "1",
        }

    def bucket(self, *, made: bool = True, versioned: bool = False) -> "Bucket":
        """Returns a bucket that nobody else uses, which is made now or not."""
        found = Bucket(self, f"books-{uuid4().hex}")
        return found.make(versioned=versioned) if made else found

    @contextmanager
    def used_by(self, user: str, allowed: tuple[str, ...] = ALL) -> Iterator[None]:
        """This process and its forks are that user while the block runs."""
        with pytest.MonkeyPatch.context() as patched:
            for name, value in self.variables(user, allowed).items():
                patched.setenv(name, value)
            S3FileSystem.clear_instance_cache()
            try:
                yield
            finally:
                S3FileSystem.clear_instance_cache()

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        asked = f"{path}?{environ['QUERY_STRING']}"
        self.calls.append(f"{method} {asked}")
        if self.lacks & set(environ["QUERY_STRING"].split("&")):
            start_response("501 Not Implemented", [("Content-Type", "application/xml")])
            return [b"<Error><Code>NotImplemented</Code><Message>not here</Message></Error>"]
        if self.dies_in is None or self.dies_in[0] != method or self.dies_in[1] not in asked:
            answer: Iterable[bytes] = MOTO(environ, start_response)
            return answer
        self.dies_in = None
        if method == "PUT":
            environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]) // 2)
            self._die(environ)
        return self._half(b"".join(MOTO(environ, start_response)), environ)

    def _half(self, body: bytes, environ: dict[str, Any]) -> Iterator[bytes]:
        yield body[: len(body) // 2]
        self._die(environ)

    def _die(self, environ: dict[str, Any]) -> None:
        self.kill()
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        raise ConnectionResetError


MOTO: App = DomainDispatcherApplication(create_backend_app)


@contextmanager
def serving() -> Iterator[S3Server]:
    """Serves while the block runs. This process and its forks are a user who may do everything at it."""
    server = S3Server()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(moto_settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0)
        patched.setattr(logging.getLogger("werkzeug"), "disabled", True)
        server.start()
        try:
            with server.used_by("fleet"):
                yield server
        finally:
            server.kill()


@dataclass(frozen=True)
class Bucket:
    """A bucket of the server, and how the settings of a fleet name a folder in it."""

    server: S3Server
    name: str

    @property
    def address(self) -> str:
        """Returns the setting `fleet.store`."""
        return f"s3://{self.name}/raw"

    def make(self, *, versioned: bool = False) -> "Bucket":
        """Makes it; returns itself."""
        made = self._backend().create_bucket(self.name, REGION)
        made.versioning_status = "Enabled" if versioned else None
        return self

    def contents(self) -> list[bytes]:
        """Returns what is in it: objects, all their versions, and parts of uploads that were not ended."""
        bucket = self._backend().buckets[self.name]
        kept = [one.value for name in bucket.keys for one in bucket.keys.getlist(name) if hasattr(one, "value")]
        return kept + [part.value for upload in bucket.multiparts.values() for part in upload.parts.values()]

    def counts(self) -> list[int]:
        """Returns how many objects each cell has, by the cells' names."""
        names = sorted(self._backend().buckets[self.name].keys)
        cells = sorted({name.split("/")[1] for name in names})
        return [sum(name.split("/")[1] == cell for name in names) for cell in cells]

    def exists(self) -> bool:
        """Returns whether the server has it."""
        return self.name in self._backend().buckets

    def _backend(self) -> Any:
        return s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
