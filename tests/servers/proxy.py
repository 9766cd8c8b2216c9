"""A TCP proxy between a client and its PostgreSQL, with the faults of networks.

It reads the protocol, so its clients must not encrypt.
"""

from __future__ import annotations

import re
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Lock, Thread
from typing import Any, Literal

from tests.servers.daemon import LOOPBACK, free_port
from tests.servers.postgres import rerouted

Fault = Literal["cut_before_commit", "cut_after_commit", "swallow", "refuse"]

# A query, or one that is prepared, with its length and name before it. A turn is its own COMMIT.
_COMMIT = re.compile(rb"(Q.{4}|P.{4}[^\0]*\0)(COMMIT[\0; ]|WITH head)", re.DOTALL)
_NO_TRANSACTION = b"Z\0\0\0\5I"  # ends the server's answer to a COMMIT, be it an error


class Proxy:
    """Passes everything on, until a fault is switched on; ``fired`` counts what each has hit, and
    ``round_trips`` how often a client, having got an answer, has sent something again."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = LOOPBACK, free_port()
        self.fired: Counter[Fault] = Counter()
        self.round_trips = 0
        self._server = (host, port)
        self._fault: Fault | None = None
        self._times = 0
        self._links: list[_Link] = []
        self._lock = Lock()
        self._open()

    def reroute(self, url: str) -> str:
        """The database at ``url``, by way of the proxy."""
        return rerouted(url, self.host, self.port)

    def cut_before_commit(self, times: int = 1) -> None:
        """The next COMMITs do not reach the server: their connections end instead."""
        self._switch("cut_before_commit", times)

    def cut_after_commit(self, times: int = 1) -> None:
        """The server does the next COMMITs; their connections end without its answer."""
        self._switch("cut_after_commit", times)

    def swallow(self) -> None:
        """A black hole: connections stand, and nothing passes, not even that one side ends."""
        self._switch("swallow")

    def refuse(self) -> None:
        """Cuts all connections, which ``fired`` counts, and refuses new ones, which it cannot."""
        self._switch("refuse")
        self._close()

    def heal(self) -> None:
        """No fault any more. Cuts the connections of which something was swallowed."""
        refused = self._fault == "refuse"
        self._switch(None)
        self._cut("swallow")
        if refused:
            self._open()

    def close(self) -> None:
        """Returns when every connection and thread has ended."""
        if self._fault != "refuse":
            self.refuse()

    def fires(self, fault: Fault, link: _Link) -> bool:
        """Whether the fault is on, and so hits this link."""
        with self._lock:
            if self._fault != fault:
                return False
            self.fired[fault] += 1
            link.hit_by.add(fault)
            self._times -= 1
            if self._times == 0:
                self._fault = None
            return True

    def serve(self, client: socket.socket) -> None:
        """Both directions of one connection, until both have ended."""
        with suppress(OSError), socket.create_connection(self._server) as server:
            link = _Link(self, client, server)
            with self._lock:
                self._links.append(link)
            if self._fault == "refuse":
                link.cut()
            link.run()
            with self._lock:
                self._links.remove(link)

    def _switch(self, fault: Fault | None, times: int = 0) -> None:
        with self._lock:
            self._fault, self._times = fault, times

    def _cut(self, hit_by: Fault) -> None:
        with self._lock:
            links = [link for link in self._links if hit_by in link.hit_by]
        for link in links:
            link.cut()

    def _open(self) -> None:
        self._door = _Door(self)
        Thread(target=self._door.serve_forever, args=(0.01,)).start()

    def _close(self) -> None:
        """First no new ones, then none, for closing the door waits for the threads of all."""
        self._door.shutdown()
        with suppress(OSError):  # a forked child may have the door open, too
            self._door.socket.shutdown(socket.SHUT_RDWR)
        for link in tuple(self._links):
            self.fires("refuse", link)
            link.cut()
        self._door.server_close()


@contextmanager
def running_proxy(host: str, port: int) -> Iterator[Proxy]:
    proxy = Proxy(host, port)
    try:
        yield proxy
    finally:
        proxy.close()


class _Door(ThreadingTCPServer):
    """Accepts connections, each in a thread of its own."""

    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, proxy: Proxy) -> None:
        super().__init__((proxy.host, proxy.port), BaseRequestHandler)
        self._proxy = proxy

    def finish_request(self, request: Any, client_address: Any) -> None:
        self._proxy.serve(request)


class _Link:
    """A client's connection with the one to the server, and the faults that have hit it."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self.hit_by: set[Fault] = set()
        self._is_answered = True
        self._proxy, self._client, self._server = proxy, client, server
        for side in (client, server):
            side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def run(self) -> None:
        back = Thread(target=self._until_cut, args=(self._pass_back,))
        back.start()
        self._until_cut(self._pass_on)
        back.join()

    def cut(self) -> None:
        """Both sides see the end of the connection, and so do the threads that wait for them."""
        for side in (self._client, self._server):
            with suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)

    def _until_cut(self, work: Callable[[], None]) -> None:
        try:
            work()
        except OSError:
            self.cut()

    def _pass_on(self) -> None:
        recent = b""
        for data in self._arriving(self._client):
            self._proxy.round_trips += self._is_answered
            self._is_answered = False
            commits = _COMMIT.search(recent + data)
            recent = b"" if commits else (recent + data)[-32:]
            if commits and self._proxy.fires("cut_before_commit", self):
                self.cut()
                return
            if commits:
                self._proxy.fires("cut_after_commit", self)
            self._server.sendall(data)

    def _pass_back(self) -> None:
        recent = b""
        for data in self._arriving(self._server):
            self._is_answered = True
            if "cut_after_commit" not in self.hit_by:
                self._client.sendall(data)
            elif _NO_TRANSACTION in recent + data:
                self.cut()
            recent = (recent + data)[1 - len(_NO_TRANSACTION) :]

    def _arriving(self, side: socket.socket) -> Iterator[bytes]:
        """What is not swallowed, until the end, which the other side then sees as well."""
        while True:
            data = _received(side)
            swallowed = self._proxy.fires("swallow", self)
            if data and not swallowed:
                yield data
            elif not data and swallowed:
                return
            elif not data:
                self.cut()
                return


def _received(side: socket.socket) -> bytes:
    """Nothing at the end, whether it is orderly or not."""
    with suppress(OSError):
        return side.recv(1 << 16)
    return b""
