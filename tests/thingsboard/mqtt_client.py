# SPDX-License-Identifier: Apache-2.0
"""A bare MQTT client for the tests of the stand-in server: nothing happens unless told."""
import socket
import struct

import mqtt_packets as mqtt
from mqtt_packets import packet

TELEMETRY, ATTRIBUTES = 'v1/devices/me/telemetry', 'v1/devices/me/attributes'


def text(value):
    raw = value if isinstance(value, bytes) else value.encode()
    return struct.pack('>H', len(raw)) + raw


class Client:
    def __init__(self, port, version=5, timeout=3, tls=None):
        """tls: an ssl.SSLContext."""
        self.version = version
        self.properties = b'\0' if version == 5 else b''
        self.next_id = 0
        self.sock = socket.create_connection(('127.0.0.1', port), timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.flags = self.got_id = 0        # of the last packet and PUBLISH read
        if tls:
            self.sock = tls.wrap_socket(self.sock, server_hostname='127.0.0.1')

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.sock.close()

    def _exact(self, count):
        data = bytearray()
        while len(data) < count:
            part = self.sock.recv(count - len(data))
            if not part:
                raise EOFError
            data += part
        return bytes(data)

    def read(self, timeout=3):
        """(type, body) of the next packet; 'closed' or 'nothing'."""
        self.sock.settimeout(timeout)
        try:
            head, length, factor = self._exact(1)[0], 0, 1
            while True:
                b = self._exact(1)[0]
                length += (b & 127) * factor
                factor *= 128
                if not b & 128:
                    self.flags = head & 15
                    return head >> 4, self._exact(length)
        except TimeoutError:
            return 'nothing'
        except (EOFError, OSError):
            return 'closed'

    def send(self, data):
        self.sock.sendall(data)

    def connect_bytes(self, user=None, client_id='c', password=None, clean=True, level=None):
        flags = (2 if clean else 0) | (0x80 if user is not None else 0) | (0x40 if password is not None else 0)
        body = text('MQTT') + bytes([level or self.version, flags]) + b'\0\x3c' + self.properties + text(client_id)
        for field in (user, password):
            body += text(field) if field is not None else b''
        return packet(0x10, body)

    def connect(self, user=None, **more):
        """The CONNACK code, or 'closed' / 'nothing'."""
        self.send(self.connect_bytes(user, **more))
        answer = self.read()
        return answer[1][1] if answer[0] == mqtt.CONNACK else answer

    def publish_bytes(self, topic, payload, qos=1):
        self.next_id += 1
        raw = payload if isinstance(payload, bytes) else payload.encode()
        ident = struct.pack('>H', self.next_id) if qos else b''
        return packet(0x30 | qos << 1, text(topic) + ident + self.properties + raw)

    def publish(self, payload, topic=TELEMETRY, qos=1, timeout=3):
        """('ack', code), ('disconnect', code), 'closed' or 'nothing'."""
        self.send(self.publish_bytes(topic, payload, qos))
        return self.answer(timeout) if qos else None

    def answer(self, timeout=3):
        found = self.read(timeout)
        if found[0] == mqtt.PUBACK:
            return 'ack', found[1][2] if len(found[1]) > 2 else 0
        if found[0] == mqtt.DISCONNECT:
            return 'disconnect', found[1][0] if found[1] else 0
        return found

    def subscribe(self, *topics, qos=1):
        """The codes of the SUBACK."""
        self.next_id += 1
        body = struct.pack('>H', self.next_id) + self.properties + b''.join(text(t) + bytes([qos]) for t in topics)
        self.send(packet(0x82, body))
        answer = self.read()
        return list(answer[1][2 + len(self.properties):]) if answer[0] == mqtt.SUBACK else answer

    def ping(self, timeout=3):
        self.send(b'\xc0\0')
        found = self.read(timeout)
        return found[0] == mqtt.PINGRESP if isinstance(found, tuple) else found

    def downlink(self, timeout=3):
        """(topic, payload) of the next PUBLISH."""
        found = self.read(timeout)
        if found[0] != mqtt.PUBLISH:
            return found
        end = 2 + int.from_bytes(found[1][:2], 'big')
        start = end + (2 if self.flags & 6 else 0)
        self.got_id = int.from_bytes(found[1][end:start], 'big')
        return found[1][2:end].decode(), found[1][start + len(self.properties):]

    def puback(self, ident=None):
        """Acknowledges the last PUBLISH."""
        self.send(packet(0x40, struct.pack('>H', ident or self.got_id)))

    def request(self, timeout=3):
        """(id, body) of the next RPC request, acknowledged."""
        found = self.downlink(timeout)
        if found in ('nothing', 'closed'):
            return found
        self.puback()
        return int(found[0].rsplit('/', 1)[1]), found[1]

    def reply(self, ident, payload):
        return self.publish(payload, topic='v1/devices/me/rpc/response/%d' % ident)
