# SPDX-License-Identifier: Apache-2.0
"""The wire between daemon and server: a relay on loopback that keeps every MQTT packet, and loses or holds back some when told.
So whatever the server is, a case sees what the agent sent and not only what became of it.

    wire = Wire(host, port)
    start_something_that_connects_to(wire.port)
    wire.publishes('v1/devices/me/telemetry')       # what the daemon published, oldest first
    wire.lose = lambda packet: packet.is_ack(TELEMETRY)
    wire.cut()                                      # RST to both sides; the next connection works again
    wire.hold_acks(); ...; wire.release_acks(backwards=True)"""
import asyncio
import socket
import struct
import threading
import time

(CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, PINGREQ, DISCONNECT) = 1, 2, 3, 4, 8, 9, 12, 14
TELEMETRY, ATTRIBUTES = 'v1/devices/me/telemetry', 'v1/devices/me/attributes'
ASK, ANSWER = ATTRIBUTES + '/request/', ATTRIBUTES + '/response/'
RPC_REQUEST, RPC_RESPONSE = 'v1/devices/me/rpc/request/', 'v1/devices/me/rpc/response/'
CLAIM, PROVISION, PROVISIONED = 'v1/devices/me/claim', '/provision/request', '/provision/response'


def _varint(data, at):
    """(value, where it ends)"""
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if not data[at - 1] & 128:
            return value, at


class Packet:
    """One packet: up is from the daemon. Of a PUBLISH: topic, qos, ident, payload; of its PUBACK: ident, topic, code. went_on: to whom it was
    for, at once."""
    topic, qos, ident, code, payload = '', 0, 0, 0, b''
    went_on = False

    def __init__(self, connection, up, raw, version):
        self.time, self.connection, self.up, self.raw = time.monotonic(), connection, up, raw
        self.kind, self.flags = raw[0] >> 4, raw[0] & 15
        self.remaining, start = _varint(raw, 1)
        self.body = raw[start:]
        if self.kind == PUBLISH:
            self._read_publish(version)
        elif self.kind == PUBACK:
            self.ident = int.from_bytes(self.body[:2], 'big')
            self.code = self.body[2] if len(self.body) > 2 else 0
        elif self.kind == CONNACK:
            self.code = self.body[1]
        elif self.kind == DISCONNECT:
            self.code = self.body[0] if self.body else 0

    def _read_publish(self, version):
        end = 2 + int.from_bytes(self.body[:2], 'big')
        self.topic, self.qos = self.body[2:end].decode('utf8', 'replace'), self.flags >> 1 & 3
        if self.qos:
            self.ident = int.from_bytes(self.body[end:end + 2], 'big')
            end += 2
        if version == 5:
            size, end = _varint(self.body, end)
            end += size
        self.payload = self.body[end:]

    def is_of(self, topic):
        """One that ends with / stands for all that begin so, none for all."""
        return self.topic.startswith(topic) if topic.endswith('/') else topic in ('', self.topic)

    def is_ack(self, topic):
        """The server's PUBACK of what the daemon published there."""
        return self.kind == PUBACK and not self.up and self.is_of(topic)

    def is_publish(self, topic):
        return self.kind == PUBLISH and self.up and self.is_of(topic)

    def is_downlink(self, topic):
        return self.kind == PUBLISH and not self.up and self.is_of(topic)

    @property
    def keepalive(self):
        """Of a CONNECT, in seconds."""
        return int.from_bytes(self.body[8:10], 'big')

    @property
    def is_clean(self):
        return bool(self.body[7] & 2)

    def subscriptions(self, version):
        """{filter: QoS} of a SUBSCRIBE."""
        at, found = 2, {}
        if version == 5:
            size, at = _varint(self.body, at)
            at += size
        while at < len(self.body):
            end = at + 2 + int.from_bytes(self.body[at:at + 2], 'big')
            found[self.body[at + 2:end].decode()] = self.body[end] & 3
            at = end + 1
        return found


class _Connection:
    """Both sides of one connection, packet by packet."""

    def __init__(self, wire, number, near):
        self.wire, self.number, self.near, self.far = wire, number, near, None
        self.version, self.topics = 4, {}       # topics: of what the daemon published, by packet id

    async def run(self, reader):
        try:
            far_reader, self.far = await asyncio.open_connection(self.wire.host, self.wire.target)
        except OSError:
            return self.abort()
        for writer in (self.near, self.far):
            writer.get_extra_info('socket').setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.gather(self._pass(reader, self.far, True), self._pass(far_reader, self.near, False))

    async def _pass(self, reader, writer, up):
        try:
            while True:
                packet = self._packet(await _read_packet(reader), up)
                if self.wire.takes(self, packet):
                    writer.write(packet.raw)
                    await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            writer.close()

    def _packet(self, raw, up):
        if raw[0] >> 4 == CONNECT:
            self.version = raw[_varint(raw, 1)[1] + 6]
        packet = Packet(self.number, up, raw, self.version)
        if packet.kind == PUBLISH and up:
            self.topics[packet.ident] = packet.topic
        elif packet.kind == PUBACK and not up:
            packet.topic = self.topics.get(packet.ident, '')
        return packet

    def abort(self):
        """RST."""
        for writer in (self.near, self.far):
            sock = writer and writer.get_extra_info('socket')
            if sock is not None and sock.fileno() >= 0:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
                writer.transport.abort()


async def _read_packet(reader):
    raw = await reader.readexactly(2)
    while raw[-1] & 128:
        raw += await reader.readexactly(1)
    return raw + await reader.readexactly(_varint(raw, 1)[0])


class Wire:
    """lose: a function that says of each packet whether it gets lost; it is kept all the same, as `lost`. is_down: new
    connections are reset at once."""

    def __init__(self, host, target):
        self.host, self.target = host, target
        self.packets, self.lost, self.held = [], [], None
        self.lose, self.is_down = None, False
        self.number, self.live = 0, set()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.server = self._do(self._listen())
        self.port = self.server.sockets[0].getsockname()[1]

    def _do(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(20)

    async def _listen(self):
        return await asyncio.start_server(self._serve, '127.0.0.1', 0)

    async def _serve(self, reader, writer):
        self.number += 1
        connection = _Connection(self, self.number, writer)
        if self.is_down:
            return connection.abort()
        self.live.add(connection)
        await connection.run(reader)
        self.live.discard(connection)

    def takes(self, connection, packet):
        """Keeps it. Whether it goes on."""
        self.packets.append(packet)
        if self.lose and self.lose(packet):
            self.lost.append(packet)
        elif self.held is not None and packet.is_ack(TELEMETRY):
            self.held.append((connection, packet))
        else:
            packet.went_on = True
        return packet.went_on

    # -- what fails -----------------------------------------------------------------------------------------------
    async def _cut(self):
        for connection in list(self.live):
            connection.abort()

    def cut(self):
        self._do(self._cut())

    def down(self):
        """No network until up()."""
        self.is_down = True
        self.cut()

    def up(self):
        self.is_down = False

    def hold_acks(self):
        """Of telemetry."""
        self.held = []

    async def _release(self, backwards, times):
        held, self.held = self.held, None
        for connection, packet in reversed(held) if backwards else held:
            connection.near.write(packet.raw * times)

    def release_acks(self, backwards=False, times=1):
        """They come to the daemon after all, each so often."""
        self._do(self._release(backwards, times))

    # -- what was seen --------------------------------------------------------------------------------------------
    def mark(self):
        """A `since` for the calls below."""
        return len(self.packets)

    def seen(self, kind, up=True, since=0):
        return [p for p in self.packets[since:] if p.kind == kind and p.up == up]

    def publishes(self, topic='', since=0):
        """What the daemon published."""
        return [p for p in self.packets[since:] if p.is_publish(topic)]

    def downlinks(self, topic='', since=0):
        return [p for p in self.packets[since:] if p.is_downlink(topic)]

    def in_flight(self):
        """The most messages that waited for their PUBACK at once in one connection."""
        waiting, most = {}, 0
        for p in list(self.packets):
            mine = waiting.setdefault(p.connection, set())
            if p.kind == PUBLISH and p.up:
                mine.add(p.ident)
            elif p.kind == PUBACK and not p.up and p.went_on:
                mine.discard(p.ident)
            most = max(most, len(mine))
        return most

    def __enter__(self):
        return self

    async def _close(self):
        self.server.close()
        for _ in range(200):
            await self._cut()
            if not self.live:
                return
            await asyncio.sleep(.01)

    def __exit__(self, *_):
        self._do(self._close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)
        self.loop.close()
