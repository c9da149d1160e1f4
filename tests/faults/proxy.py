# SPDX-License-Identifier: Apache-2.0
"""The network between daemon and server, which may fail: a TCP relay on loopback with a thread of its own.

    with Proxy(server.mqtt) as link:
        start_something_that_connects_to(link.port)
        link.black_hole()       # nothing passes any more, no socket closes, new connections get no answer
        link.reset()            # RST to both sides, what was under way is lost, and from now on it works again
        link.refuse()           # a broker that is gone: RST to all, new connections are refused ...
        link.accept()           # ... until it is back"""
import asyncio
import socket
import struct
import threading

OPEN, HOLE, REFUSE = 'open', 'hole', 'refuse'


class _End(asyncio.Protocol):
    """One side of a relayed connection; the other is `peer` once it is there."""

    def __init__(self, relay, peer=None):
        self.relay, self.peer, self.transport = relay, peer, None

    def connection_made(self, transport):
        self.transport = transport
        transport.get_extra_info('socket').setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.relay.ends.add(self)
        if self.peer is not None:       # the server answered
            self.peer.peer = self
            self.follow()
            self.peer.follow()
            return
        asyncio.get_running_loop().call_soon(self.follow)       # asyncio starts to read only after this call
        if self.relay.mode == OPEN:
            self.task = asyncio.ensure_future(self._connect())

    async def _connect(self):
        try:
            await asyncio.get_running_loop().create_connection(lambda: _End(self.relay, self), '127.0.0.1', self.relay.target)
        except OSError:
            self.abort()

    def follow(self):
        """Reads or not, as the mode says."""
        if self.transport.is_closing():
            return
        if self.relay.mode == OPEN and self.peer is not None:
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()

    def data_received(self, data):
        if self.peer is None or self.relay.mode != OPEN:
            return      # read a moment before it was told not to: lost
        self.relay.relayed += len(data)
        self.peer.transport.write(data)

    def pause_writing(self):
        if self.peer is not None and not self.peer.transport.is_closing():
            self.peer.transport.pause_reading()

    def resume_writing(self):
        if self.peer is not None:
            self.peer.follow()

    def eof_received(self):
        return False

    def connection_lost(self, _):
        self.relay.ends.discard(self)
        if self.peer is not None and self.relay.mode == OPEN:
            self.peer.transport.close()

    def abort(self):
        """RST."""
        sock = self.transport.get_extra_info('socket')
        if sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        self.transport.abort()


class Proxy:
    def __init__(self, target):
        self.target, self.port, self.mode = target, 0, OPEN
        self.ends, self.server, self.relayed = set(), None, 0
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self._do(self._listen())

    def _do(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(20)

    async def _listen(self):
        if self.server is None:
            self.server = await self.loop.create_server(lambda: _End(self), '127.0.0.1', self.port, reuse_address=True)
            self.port = self.server.sockets[0].getsockname()[1]

    async def _set(self, mode, cut):
        self.mode = mode
        if mode == REFUSE and self.server is not None:
            self.server.close()
            self.server = None
        if mode != REFUSE:
            await self._listen()
        for end in list(self.ends):
            if cut:
                end.abort()
            else:
                end.follow()

    def black_hole(self):
        self._do(self._set(HOLE, False))

    def reset(self):
        self._do(self._set(OPEN, True))

    def refuse(self):
        self._do(self._set(REFUSE, True))

    def accept(self):
        self._do(self._set(OPEN, False))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._do(self._set(REFUSE, True))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)
        self.loop.close()
