# SPDX-License-Identifier: Apache-2.0
"""MQTT 3.1, 3.1.1 and 5 packets: bytes to packets as strictly as the real server's decoder (Netty), and back."""
import struct
from collections import namedtuple

(CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ,
 PINGRESP, DISCONNECT, AUTH) = range(1, 16)

Connect = namedtuple('Connect', 'version client_id user password clean keepalive')
Publish = namedtuple('Publish', 'topic qos id payload size')
Subscribe = namedtuple('Subscribe', 'id topics')

MAX_REMAINING = 65536    # transport.mqtt.netty.max_payload_size bounds the remaining length (3.3, size_limits)
# MQTT 5 property identifiers by the form of their value
_BYTE, _TWO, _FOUR, _VAR, _TEXT, _PAIR = range(6)
_PROPERTIES = {1: _BYTE, 2: _FOUR, 3: _TEXT, 8: _TEXT, 9: _TEXT, 11: _VAR, 17: _FOUR, 18: _TEXT, 19: _TWO, 21: _TEXT,
               22: _TEXT, 23: _BYTE, 24: _FOUR, 25: _BYTE, 26: _TEXT, 28: _TEXT, 31: _TEXT, 33: _TWO, 34: _TWO,
               35: _TWO, 36: _BYTE, 37: _BYTE, 38: _PAIR, 39: _FOUR, 40: _BYTE, 41: _BYTE, 42: _BYTE}


class Malformed(Exception):
    """The decoder gives up: DISCONNECT 0x81 or close (1.4)."""


class WrongVersion(Malformed):
    """Unknown protocol level: close without CONNACK (connect_level_6)."""


class _Body:
    """Reads fields off the variable part of a packet."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    def take(self, count):
        end = self.at + count
        if end > len(self.data):
            raise Malformed('packet too short')
        part = self.data[self.at:end]
        self.at = end
        return part

    def byte(self):
        return self.take(1)[0]

    def two(self):
        return int.from_bytes(self.take(2), 'big')

    def binary(self):
        return bytes(self.take(self.two()))

    def text(self):
        return self.binary().decode('utf-8', 'replace')

    def varint(self):
        value = shift = 0
        while True:
            b = self.byte()
            value |= (b & 127) << shift
            shift += 7
            if not b & 128:
                return value
            if shift > 21:
                raise Malformed('variable byte integer too long')

    def rest(self):
        return bytes(self.take(len(self.data) - self.at))

    def packet_id(self):
        value = self.two()
        if value == 0:
            raise Malformed('packet id 0')
        return value

    def properties(self):
        end = self.varint() + self.at
        while self.at < end:
            form = _PROPERTIES.get(self.varint())
            if form is None:
                raise Malformed('unknown property')
            if form == _VAR:
                self.varint()
            elif form in (_TEXT, _PAIR):
                for _ in range(2 if form == _PAIR else 1):
                    self.binary()
            else:
                self.take((1, 2, 4)[form])
        if self.at != end:
            raise Malformed('properties run over')


class Decoder:
    """Feed it bytes; it gives (type, packet) pairs. Packets of no interest come with packet None or their id."""

    def __init__(self):
        self.buffer = bytearray()
        self.version = 4

    def feed(self, data):
        self.buffer += data
        at = 0
        try:
            while True:
                head = self._header(at)
                if head is None or len(self.buffer) < head[1]:
                    return
                start, end = head
                kind = self.buffer[at]
                body = _Body(bytes(memoryview(self.buffer)[start:end]))
                at = end
                yield kind >> 4, self._packet(kind, body)
        finally:
            del self.buffer[:at]

    def _header(self, at):
        """(start, end) of the body of the packet at `at`, None if its length is not there yet."""
        length = shift = 0
        for i in range(at + 1, len(self.buffer)):
            b = self.buffer[i]
            length |= (b & 127) << shift
            shift += 7
            if not b & 128:
                if length > MAX_REMAINING:
                    raise Malformed('too large: %d' % length)
                return i + 1, i + 1 + length
            if shift > 21:
                raise Malformed('remaining length')
        return None

    def _packet(self, head, body):
        kind, flags = head >> 4, head & 15
        if kind in (PUBREL, SUBSCRIBE, UNSUBSCRIBE) and (flags >> 1) & 3 != 1:
            raise Malformed('fixed header flags')
        if kind == 0 or kind == AUTH and self.version != 5:
            raise Malformed('packet type')
        if kind == PUBLISH:
            return self._publish(flags, body)
        if kind == CONNECT:
            return self._connect(body)
        if kind in (SUBSCRIBE, UNSUBSCRIBE):
            return self._subscribe(kind, body)
        if kind in (PUBACK, PUBREC, PUBREL, PUBCOMP):
            return body.packet_id()
        return None

    def _publish(self, flags, body):
        qos = (flags >> 1) & 3
        if qos == 3:
            raise Malformed('QoS 3')
        topic = body.text()
        if '#' in topic or '+' in topic:
            raise Malformed('wildcard in a topic name')
        ident = body.packet_id() if qos else 0
        if self.version == 5:
            body.properties()
        return Publish(topic, qos, ident, body.rest(), len(body.data))

    def _subscribe(self, kind, body):
        ident = body.packet_id()
        if self.version == 5:
            body.properties()
        topics = []
        while body.at < len(body.data):
            topic = body.text()
            topics.append((topic, body.byte() & 3 if kind == SUBSCRIBE else 0))
        return Subscribe(ident, topics)

    def _connect(self, body):
        name, level = body.text(), body.byte()
        if (name, level) not in (('MQTT', 4), ('MQTT', 5), ('MQIsdp', 3)):
            raise WrongVersion('%s %d' % (name, level))
        self.version = level
        flags, keepalive = body.byte(), body.two()
        if flags & 1:
            raise Malformed('reserved flag')
        if level == 5:
            body.properties()
        client_id = body.text()
        if level == 3 and len(client_id) > 23:
            raise WrongVersion('client id of MQTT 3.1 too long')
        if flags & 4:      # the will is read and ignored (1.3)
            if level == 5:
                body.properties()
            body.binary(), body.binary()
        user = body.text() if flags & 0x80 else None
        password = body.text() if flags & 0x40 else None
        return Connect(level, client_id, user, password, bool(flags & 2), keepalive)


def _varint(n):
    out = bytearray()
    while True:
        n, b = divmod(n, 128)[0], n % 128
        out.append(b | (0x80 if n else 0))
        if not n:
            return bytes(out)


def packet(head, body):
    return bytes([head]) + _varint(len(body)) + body


def connack(version, session_present, code):
    return packet(0x20, bytes([session_present, code]) + (b'\0' if version == 5 else b''))


def puback(version, ident, code=0):
    return packet(0x40, struct.pack('>H', ident) + (bytes([code, 0]) if version == 5 and code else b''))


def suback(version, ident, codes):
    return packet(0x90, struct.pack('>H', ident) + (b'\0' if version == 5 else b'') + bytes(codes))


def unsuback(version, ident, count):
    return packet(0xB0, struct.pack('>H', ident) + (b'\0' + bytes(count) if version == 5 else b''))


def disconnect(code):
    return packet(0xE0, bytes([code, 0]) if code else b'')


def publish(version, topic, qos, ident, payload):
    """The server's own PUBLISH: never DUP, never retained. Its counter runs past 65535 on purpose (1.3)."""
    name = topic.encode()
    return packet(0x30 | qos << 1, struct.pack('>H', len(name)) + name + (struct.pack('>H', ident & 0xFFFF) if qos else b'')
                  + (b'\0' if version == 5 else b'') + payload)


PINGRESP_BYTES = b'\xd0\0'
