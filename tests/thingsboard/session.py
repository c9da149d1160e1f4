# SPDX-License-Identifier: Apache-2.0
"""One MQTT connection: CONNECT, acknowledgements, SUBSCRIBE, how it ends (THINGSBOARD.md 1.2-1.4, 2)."""
import asyncio
import random
import select
import socket
import struct
import time
from collections import deque

import credentials
import mqtt_packets as mqtt
import topics
import uplink
from lane import Lane

QUEUE_BEFORE_CONNACK = 100    # transport.mqtt.msg_queue_size_per_device_limit; pipelined_before_connack
NEW, CONNECTING, UP, ENDED, HUNG = 'new', 'connecting', 'up', 'ended', 'hung'


class Session(asyncio.Protocol):
    """State of a connection; what payloads mean is in uplink.py."""

    def __init__(self, core):
        self.core = core
        self.loop = asyncio.get_running_loop()
        self.decoder = mqtt.Decoder()
        self.state = NEW
        self.version = 4
        self.transport = None
        self.entry = self               # what takes the bytes off the wire
        self.tls = self.certificate = None
        self.device = None
        self.client_id = ''
        self.provisioning = False
        self.waiting = deque()          # packets before the session is open
        self.flavour = {}               # feature -> flavour last used
        self.subscribed = {}            # filter -> QoS
        self.downlink_qos = {}          # feature -> QoS
        self.known = set()              # features whose subscription the core knows
        self.lane = Lane()              # what the core has not looked at yet
        self.awaiting = {}              # packet id -> Rpc that is to be acknowledged
        self.next_id = 0
        self.frozen = None              # while black-holed: the bytes not sent
        self.late = b''                 # and those read already
        self.held_acks, self.held_downlinks = [], []
        self.holding = None             # timer of the latter
        self.client_rpcs = set()        # ids that wait for the rule chain
        self.active = time.monotonic()
        self.number = 0

    # -- connection ---------------------------------------------------------------------------------------------
    def connection_made(self, transport):
        self.transport = transport
        sock = transport.get_extra_info('socket')
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.number = self.core.session_opened(self)
        fault = self.core.faults.accept
        if fault in ('close', 'reset'):
            self.hang_up('refused at accept', fault)
        elif fault == 'hang':
            self.state = HUNG
        elif self.core.black_hole is not None:
            self.freeze()

    def deaf(self):
        return self.state in (ENDED, HUNG)

    def is_up(self):
        return self.state == UP

    def data_received(self, data):
        if self.deaf():
            return
        if self.frozen is not None:
            self.late += data
            return
        self.active = time.monotonic()
        self.core.bytes_received(self, len(data))
        try:
            for kind, packet in self.decoder.feed(data):
                self.packet(kind, packet)
                if self.state == ENDED:
                    return
        except mqtt.WrongVersion as e:
            self.hang_up('unsupported version: %s' % e)
        except mqtt.Malformed as e:
            self.end(0x81, 'malformed: %s' % e)

    def connection_lost(self, exc):
        if self.state != ENDED:
            self.state = ENDED
            self.core.session_ended(self, 'connection lost' if exc else 'closed by client', None)
        self.core.session_gone(self)

    def send(self, data):
        if self.frozen is not None:
            self.frozen.append(data)
        elif self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def end(self, code, reason):
        """The server ends the session: MQTT 5 is told why."""
        if self.state == ENDED:
            return
        if self.version == 5 and self.state != NEW and code is not None:
            self.send(mqtt.disconnect(code))
        self.hang_up(reason, code=code)

    def hang_up(self, reason, how='close', code=None):
        if self.state == ENDED:
            return
        self.state = ENDED
        self.core.session_ended(self, reason, code)
        if self.frozen is None:
            self.shut(how)

    def shut(self, how='close'):
        if how == 'reset':
            sock = self.transport.get_extra_info('socket')
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            self.transport.abort()
        else:
            self.transport.close()

    def freeze(self):
        """Black hole: neither read nor write, keep the socket."""
        if self.frozen is None:
            self.frozen = []
            self.loop.call_soon(self._follow)      # asyncio starts to read only after connection_made

    def _follow(self):
        """Reads or not, as `frozen` says."""
        if self.transport.is_closing():
            return
        if self.frozen is not None:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()
            late, self.late = self.late, b''
            if late:
                self.entry.data_received(late)

    def thaw(self):
        if self.frozen is None:
            return
        held, self.frozen = self.frozen, None
        for data in held:
            self.send(data)
        if self.state == NEW and peer_is_gone(self.transport.get_extra_info('socket')):
            self.hang_up('given up during the black hole')
        elif self.state == ENDED:
            self.shut()
        else:
            self.loop.call_soon(self._follow)

    # -- packets ------------------------------------------------------------------------------------------------
    def packet(self, kind, packet):
        if self.state == UP or self.state == NEW and kind == mqtt.CONNECT:
            handler = self.HANDLERS.get(kind)
            if handler:
                handler(self, packet)
            return
        self.waiting.append((kind, packet))
        if len(self.waiting) > QUEUE_BEFORE_CONNACK:
            self.end(0x97, 'more than %d packets before CONNACK' % QUEUE_BEFORE_CONNACK)

    def on_connect(self, packet):
        self.version, self.client_id = packet.version, packet.client_id
        self.state = CONNECTING
        if self.faulty_connect(packet):
            return
        self.loop.call_later(self.core.options.connack_delay, self.admit, packet)

    def faulty_connect(self, packet):
        """The faults mqtt5 and connack; True if one of them took the CONNECT."""
        faults = self.core.faults
        if packet.version == 5 and faults.mqtt5:
            if faults.mqtt5 == 'unsupported':
                self.send(mqtt.connack(5, 0, 0x84))
            elif faults.mqtt5 == 'v3':
                self.send(mqtt.connack(4, 0, 0x01))
            self.hang_up('MQTT 5 refused (fault)')
            return True
        fault = faults.connack_now()
        if fault is None:
            return False
        if fault == 'close':
            self.hang_up('closed without CONNACK (fault)')
        elif fault != 'silent':
            self.refuse(int(str(fault), 0), 'refused (fault)')
        return True

    def refuse(self, code, reason):
        self.send(mqtt.connack(self.version, 0, code))
        self.end(code if self.version == 5 else None, 'CONNACK 0x%02x: %s' % (code, reason))

    def admit(self, packet):
        """Credentials, rate limit, CONNACK, then what came in meanwhile."""
        if self.state != CONNECTING:
            return
        if 'provision' in (packet.user, packet.client_id):
            self.provisioning = True
        else:
            if self.certificate:        # user name and password do not count then, also good ones (2.1)
                device = credentials.find_certificate(self.core.lookup, self.certificate)
            else:
                device = credentials.find(self.core.lookup, packet.client_id, packet.user, packet.password)
            if device is None:
                return self.refuse(refusal(packet, self.certificate), 'credentials')
            if not self.core.limits.allow(device.name, 0):
                return self.refuse(0x9F if self.version == 5 else 3, 'rate limit')
            self.device = device
        self.state = UP
        self.send(mqtt.connack(self.version, 0 if packet.clean else 1, 0))    # always a lie (connect_clean_0)
        self.core.session_up(self, packet)
        while self.waiting and self.state == UP:
            self.packet(*self.waiting.popleft())

    def on_second_connect(self, packet):
        """A CONNECT on a live connection gets a CONNACK of its own (flags_and_oddities)."""
        self.state = CONNECTING
        self.loop.call_later(self.core.options.connack_delay, self.admit, packet)

    def on_any_connect(self, packet):
        (self.on_connect if self.state == NEW else self.on_second_connect)(packet)

    def on_publish(self, packet):
        uplink.publish(self, packet)

    def on_puback(self, ident):
        self.core.log('device puback', self, id=ident)
        if self.device:
            self.device.rpc.acknowledged(self, ident)

    def on_subscribe(self, packet):
        """Every topic is answered at once; the core learns of it `--settle` seconds later (fact 9)."""
        refused = 0x8F if self.version == 5 else 0x80
        codes = [refused if self.core.faults.suback == 'refuse' else self.subscribe(topic, qos, refused)
                 for topic, qos in packet.topics]
        self.core.log('subscribe', self, topics=[t for t, _ in packet.topics], codes=codes)
        if self.core.faults.suback != 'silent':
            self.send(mqtt.suback(self.version, packet.id, codes))

    def subscribe(self, topic, qos, refused):
        if self.provisioning:
            found = ('provision', topics.V1) if topic == '/provision/response' else None
        else:
            found = topics.subscription(topic, self.device.profile)
        if found is None:
            return refused
        feature, flavour = found
        qos = min(qos, 1)
        self.subscribed[topic] = qos
        self.downlink_qos[feature] = qos
        self.flavour[feature] = flavour
        self.tell_core(feature, self.core.options.settle, self.subscription_known)
        return qos      # also if the rate limit dropped it (1.2)

    def tell_core(self, feature, delay, function):
        """Of the subscriptions that have effect in the core."""
        if feature in ('attributes', 'rpc') and self.core.limits.allow(self.device.name, 0):
            self.lane.put(delay, function, feature)

    def subscription_known(self, feature):
        """The core has come to the SUBSCRIBE."""
        if self.state == UP:
            self.known.add(feature)
            if feature == 'rpc':
                self.device.rpc.deliver_pending(self)

    def on_unsubscribe(self, packet):
        for topic, _ in packet.topics:
            found = topics.SUBSCRIBE.get(topic)
            if self.subscribed.pop(topic, None) is not None and found:
                self.tell_core(found[0], 0, self.known.discard)
        self.send(mqtt.unsuback(self.version, packet.id, len(packet.topics)))

    def on_ping(self, _):
        if self.core.faults.ping != 'silent':
            self.send(mqtt.PINGRESP_BYTES)

    def on_disconnect(self, _):
        self.end(0, 'DISCONNECT of the client')

    HANDLERS = {mqtt.CONNECT: on_any_connect, mqtt.PUBLISH: on_publish, mqtt.PUBACK: on_puback,
                mqtt.SUBSCRIBE: on_subscribe, mqtt.UNSUBSCRIBE: on_unsubscribe, mqtt.PINGREQ: on_ping,
                mqtt.DISCONNECT: on_disconnect}

    # -- acknowledgements and downlinks -------------------------------------------------------------------------
    def ack(self, packet, code=0):
        """PUBACK for QoS 1 (and 2: telemetry_qos2), through the faults that delay, reorder or lose it."""
        faults = self.core.faults
        if packet.qos == 0 or self.state == ENDED or faults.drop_acks and faults.spend('drop_acks'):
            return
        if faults.ack_reorder:
            self.held_acks.append((packet.id, code))
            if len(self.held_acks) >= faults.ack_reorder:
                self.release_acks()
            elif len(self.held_acks) == 1:
                self.loop.call_later(0.2, self.release_acks)
        elif faults.ack_delay:
            self.loop.call_later(faults.ack_delay, self.send_ack, packet.id, code)
        else:
            self.send_ack(packet.id, code)

    def release_acks(self):
        held, self.held_acks = self.held_acks, []
        for ident, code in reversed(held):
            self.send_ack(ident, code)

    def send_ack(self, ident, code):
        if self.state != ENDED:
            self.core.acknowledged(self, ident, code)
            self.send(mqtt.puback(self.version, ident, code))

    def rate_limited(self):
        self.core.counters['closes_rate_limit'] += 1
        self.end(0x83, 'rate limit')

    def knows(self, feature):
        """Whether the core has taken note of the subscription."""
        return self.state == UP and feature in self.known

    def downlink(self, feature, payload, ident=None, topic=None):
        """The server's PUBLISH; QoS 1 unless a subscription says otherwise. Its packet id, 0 for QoS 0, None: not sent."""
        topic = topic or topics.downlink(feature, self.flavour.get(feature, topics.V1), ident)
        qos = self.downlink_qos.get(feature, 1)
        if self.core.faults.downlink_reorder and feature in ('attributes', 'attribute_request'):
            return self.hold_downlink(topic, qos, payload)
        return self.send_publish(topic, qos, payload)

    def send_publish(self, topic, qos, payload):
        if self.state != UP:
            return None
        self.next_id += 1
        ident = self.next_id if qos else 0      # never wrapped here: RPC acks stop matching behind 65535 (1.3)
        self.core.log('downlink', self, topic=topic, qos=qos, id=ident & 0xFFFF, size=len(payload))
        self.send(mqtt.publish(self.version, topic, qos, ident, payload))
        return ident

    def hold_downlink(self, *publish):
        self.held_downlinks.append(publish)
        self.core.log('held', self, topic=publish[0])
        if len(self.held_downlinks) >= self.core.faults.downlink_reorder:
            self.release_downlinks()
        elif self.holding is None:
            self.holding = self.loop.call_later(self.core.faults.downlink_hold, self.release_downlinks)

    def release_downlinks(self):
        """In any order but that in which they came."""
        if self.holding:
            self.holding.cancel()
            self.holding = None
        held, self.held_downlinks = self.held_downlinks, []
        mixed = held[::-1]
        if len(held) > 2:
            random.shuffle(mixed)
            mixed = held[::-1] if mixed == held else mixed
        for publish in mixed:
            self.send_publish(*publish)


def peer_is_gone(sock):
    """Whether the client has closed meanwhile. In a real black hole such a connection would never have come about,
    so it must not be served late and evict the client's next one."""
    if sock.fileno() < 0 or not hasattr(select, 'POLLRDHUP'):
        return False
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLRDHUP)
    return bool(poll.poll(0))


def refusal(packet, certificate):
    """CONNACK code when no device matches (2.2; recordings connect_*, basic_credentials, tls_*)."""
    five = packet.version == 5
    if certificate:
        return 0x87 if five else 0x05
    user, password, client = ((x or '').strip() for x in (packet.user, packet.password, packet.client_id))
    if user and password and client or bool(user) != bool(password):
        return 0x86 if five else 0x05
    if not user and not password and client:
        return 0x85 if five else 0x02
    return 0x87 if five else 0x05
