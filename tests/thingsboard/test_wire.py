# SPDX-License-Identifier: Apache-2.0
"""Tests of what the stand-in shows on the wire: codes, closes, sizes, limits, credentials."""
import json

from mqtt_client import TELEMETRY
from standin import RestError
from with_server import WithServer


class Wire(WithServer):
    def test_connack_codes(self):
        for version, wanted in ((5, (0x86, 0x86, 0x85, 0x87)), (4, (5, 5, 2, 5))):
            calls = (dict(user='wrong'), dict(user='wrong', password='x'), dict(client_id='c'), dict(client_id=''))
            self.assertEqual(tuple(self.client(version).connect(**c) for c in calls), wanted)

    def test_refused_connack_is_followed_by_disconnect(self):
        c = self.client(5)
        self.assertEqual(c.connect('wrong'), 0x86)
        self.assertEqual([c.read(), c.read()], [(14, b'\x86\0'), 'closed'])

    def test_eviction(self):
        old, new = self.linked(), self.linked()
        self.assertEqual([old.answer(), old.read()], [('disconnect', 0x8E), 'closed'])
        self.assertTrue(new.ping())
        self.assertEqual(self.tb.device_stats(self.name)['connects'], 2)

    def test_payload_faults(self):
        five = self.linked()
        self.assertEqual(five.publish('{"a":1'), ('ack', 0x99))
        self.assertEqual(five.publish('{}', topic=TELEMETRY + '/'), ('ack', 0x90))
        self.assertEqual(five.publish('[]', timeout=0.2), 'nothing')
        self.assertEqual(five.publish('{}', topic='v1/gateway/telemetry', timeout=0.2), 'nothing')
        self.assertEqual(five.publish('{"a":1}', qos=2), ('ack', 0))
        self.assertEqual(five.publish('{"ts":"x","values":{}}'), ('disconnect', 0x8B))
        three = self.linked(4)
        self.assertEqual(three.publish('{}', topic='nonsense'), ('ack', 0))
        self.assertEqual(three.publish('{"a":1'), 'closed')

    def test_malformed_packets(self):
        for data in (b'\x36\x03\0\x01a', b'\x32\x05\0\x01a\0\0', b'\x80\x05\0\x01\0\0\0', b'\x30\x03\0\x01+',
                     b'\x32\x80\x80\x80\x80\x01', b'\x30\x81\x80\x04'):
            five = self.linked()
            five.send(data)
            self.assertEqual(five.answer(), ('disconnect', 0x81), data)
            three = self.linked(4)
            three.send(data)
            self.assertEqual(three.read(), 'closed', data)

    def test_too_many_before_connack(self):
        five = self.client()
        five.send(five.connect_bytes(self.token) + b''.join(five.publish_bytes(TELEMETRY, self.point(i)) for i in range(101)))
        self.assertEqual([five.answer(), five.read()], [('disconnect', 0x97), 'closed'])
        self.assertEqual(self.stored(0), 0)
        four = self.client(4)
        four.send(four.connect_bytes(self.token) + b''.join(four.publish_bytes(TELEMETRY, self.point(i)) for i in range(100)))
        self.assertEqual(self.stored(100), 100)

    def test_size_limit(self):
        for version, room in ((4, 65509), (5, 65508)):
            self.assertEqual(self.linked(version).publish('{"b":"%s"}' % ('x' * (room - 8))), ('ack', 0))
            over = self.linked(version).publish('{"b":"%s"}' % ('x' * (room - 7)))
            self.assertEqual(over, ('disconnect', 0x81) if version == 5 else 'closed')

    def test_stored_after_the_ack_and_upsert(self):
        self.tb.control('options', {'store_delay': 0.3})
        self.addCleanup(self.tb.control, 'options', {'store_delay': 0.02})
        c = self.linked()
        for ts, value in ((2000, 1), (1000, 2), (2000, 3)):
            self.assertEqual(c.publish(self.point(ts, value)), ('ack', 0))
        self.assertEqual(self.tb.count(self.name)['stored'], 0)
        self.assertEqual(self.stored(2), 2)
        self.assertEqual(self.tb.count(self.name)['duplicated'], 1)
        self.assertEqual(self.tb.series(self.name), {'a': [(1000, 2), (2000, 3)]})
        self.assertEqual(self.tb.latest(self.name), {'a': 3})

    def test_session_limits_and_rate_limit(self):
        self.tb.control('limits', {'telemetryDataPoints': '5:1'})
        self.addCleanup(self.tb.control, 'limits', {'telemetryDataPoints': None})
        c = self.linked()
        self.assertEqual(c.publish('{"method":"getSessionLimits","params":{}}', topic='v1/devices/me/rpc/request/1'), ('ack', 0))
        topic, body = c.downlink()
        self.assertEqual(topic, 'v1/devices/me/rpc/response/1')
        self.assertEqual(json.loads(body), dict(maxPayloadSize=65536, maxInflightMessages=100, rateLimits=dict(
            messages=None, telemetryMessages=None, telemetryDataPoints='5:1')))
        self.assertEqual(c.publish('{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1}'), ('disconnect', 0x83))

    def test_token_and_deletion(self):
        c = self.linked()
        self.tb.set_token(self.name, self.name + '-2')
        self.assertEqual(c.answer(), ('disconnect', 0x98))
        self.assertEqual(self.client().connect(self.token), 0x86)
        c = self.client()
        self.assertEqual(c.connect(self.name + '-2'), 0)
        self.tb.delete_device(self.name)
        self.assertEqual(c.answer(), ('disconnect', 0x98))

    def test_basic_credentials(self):
        self.tb.set_basic(self.name, 'box', 'me', 'secret')
        for client_id, user, password, code in (('box', 'me', 'secret', 0), ('box', 'me', 'no', 0x86),
                                                ('x', 'me', 'secret', 0x86), ('box', None, None, 0x85)):
            self.assertEqual(self.client().connect(user, client_id=client_id, password=password), code)
        self.tb.set_basic(self.name, 'box')
        self.assertEqual(self.client().connect(None, client_id='box'), 0)
        self.tb.set_basic(self.name, None, 'just-me', 'secret')      # by name alone the password is not looked at
        self.assertEqual(self.client().connect('just-me', password='no'), 0)

    def test_credentials_that_are_refused(self):
        other = self.tb.create_device(self.name + '-other')
        calls = ((self.tb.set_token, other), (self.tb.set_token, ''), (self.tb.set_basic, None),
                 (self.tb.set_basic, 'c', None, 'p'), (self.tb.set_certificate, ''))
        for call, *arguments in calls:
            with self.assertRaises(RestError) as caught:
                call(self.name, *arguments)
            self.assertEqual(caught.exception.status, 400)
        self.assertEqual(self.client().connect(self.token), 0)
