"""Behind a connection pooler, which does not pass session options on, the same limits hold."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from dify_tables import Database, add_message, ago
from source_calls import ids, settings, until_caught_up

from exporter.errors import ExporterError, Unreachable
from exporter.sources.connection import connect, reading


@contextmanager
def pooler(upstream: str) -> Iterator[int]:
    """A door to the server that, like PgBouncer, turns away connections with session options. Yields its port."""
    listening = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass
        finally:
            target.close()

    def serve(client: socket.socket) -> None:
        packet = client.recv(65536)
        while int.from_bytes(packet[4:8]) != 196608:  # TLS and GSS requests are answered no, as PgBouncer may
            client.sendall(b"N")
            packet = client.recv(65536)
        if b"\0options\0" in packet:
            words = b"SFATAL\0VFATAL\0C08P01\0Munsupported startup parameter: options\0\0"
            client.sendall(b"E" + (len(words) + 4).to_bytes(4) + words)
            client.close()
            return
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{upstream}/.s.PGSQL.5432")
        server.sendall(packet)
        threading.Thread(target=pump, args=(server, client), daemon=True).start()
        pump(client, server)

    def accept() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(client,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.close()


def test_a_pooler_that_refuses_session_options_is_worked_with(
    server: Any, dify: Database, open_source: Any
) -> None:
    message = add_message(dify.connection, created_at=ago(minutes=1))
    name = dify.url.split("@/")[1].split("?")[0]
    with pooler(server.socket) as port:
        url = f"postgresql://postgres@127.0.0.1:{port}/{name}"
        assert ids(until_caught_up(open_source(url), "messages")[0]) == [message]
        engine = connect(settings(url, {"statement_timeout": "300ms"}).database)
        with pytest.raises(ExporterError, match="25006"), reading(engine, "trying to write") as connection:
            connection.execute(sa.text("DELETE FROM apps"))
        with pytest.raises(Unreachable, match="statement_timeout"), reading(engine, "waiting") as connection:
            connection.execute(sa.text("SELECT pg_sleep(5)"))
        engine.dispose()
