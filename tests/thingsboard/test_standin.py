# SPDX-License-Identifier: Apache-2.0
"""Tests of the stand-in server itself: parser, value types, rate limits, what the wire shows, every fault.
Run: python3 -m unittest test_standin (in this folder) or python3 tests/thingsboard/test_standin.py"""
import json
import os
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

import gson                                                # noqa: E402
import limits                                              # noqa: E402
import store                                               # noqa: E402
import topics                                              # noqa: E402
import values                                              # noqa: E402
from mqtt_client import ATTRIBUTES, TELEMETRY, Client      # noqa: E402
from standin import RestError, Standin                     # noqa: E402


class LenientParser(unittest.TestCase):
    """THINGSBOARD.md 3.1."""
    GOOD = [('{"a":1}', {'a': '1'}), ('{a:1}', {'a': '1'}), ("{'a':'b'}", {'a': 'b'}), ('{"a"=1;"b"=>2}', {'a': '1', 'b': '2'}),
            ('{"a":1,/* x */"b":2 // y\n}', {'a': '1', 'b': '2'}), ('# c\n[1,2]', ['1', '2']), ('[1,]', ['1', None]),
            ('[,]', [None, None]), ('[;1]', [None, '1']), ('\ufeff{"a":1}', {'a': '1'}), ('{"a":TRUE,"b":Null,"c":falSe}', {'a': True, 'b': None, 'c': False}),
            ('{"a":1,"a":2}', {'a': '2'}), ('{"a":NaN}', {'a': 'NaN'}), ('{"a":-Infinity}', {'a': '-Infinity'}), ('{"a":+1}', {'a': '+1'}),
            ('{"a":01}', {'a': '01'}), ('{"a":"\\u00e9\\ud83d\\ude00"}', {'a': 'é😀'}), ('{"a":"x\\ud83dy"}', {'a': 'x?y'}),
            ('{"a":"line\nbreak"}', {'a': 'line\nbreak'}), ("{\"a\":\"\\'\"}", {'a': "'"}), ('', None), ('  // only a comment', None), (")]}'\n{}", {}),
            ('{"j":{"x":[1,null,{"y":null}]}}', {'j': {'x': ['1', None, {'y': None}]}}), ('{"a":1e5}', {'a': '1e5'})]
    BAD = ['{"a":1', '{"a":1}{"b":2}', '{"a":1} x', '{"a":1,}', '{,}', '[1', '{"a"}', '{"a":}', '"x', '{"a":"\\q"}', '{"a":"\\u12"}', '/* x', '[1 2]', '{"a" 1}', '}']

    def test_accepted(self):
        for text, wanted in self.GOOD:
            with self.subTest(text):
                self.assertEqual(gson.parse(text), wanted)

    def test_rejected(self):
        for text in self.BAD:
            with self.subTest(text), self.assertRaises(gson.Malformed):
                gson.parse(text)

    def test_same_result_both_ways(self):
        for text in ('{"a":[1,2.50,-0,1e3,"x",true,null],"b":{"c":"d\\n"}}', ' [ ] ', '{"ts":1,"values":{}}'):
            with self.subTest(text):
                quick, slow = gson.parse(text), gson._lenient(text)
                self.assertEqual(quick, slow)
                self.assertEqual(repr(quick), repr(slow))

    def test_numbers_keep_their_text(self):
        number, string = gson.parse('[1.50,"1.50"]')
        self.assertIs(type(number), gson.Num)
        self.assertIs(type(string), str)
        self.assertIs(type(gson.parse("['x',-1.50e+3]")[1]), gson.Num)

    def test_too_deep(self):
        with self.assertRaises(gson.TooDeep):
            gson.parse('[' * 200000)


class ValueTypes(unittest.TestCase):
    """The table of THINGSBOARD.md 3.2, as stored after the root rule chain; recordings `numbers`."""
    TABLE = [('1', 1), ('-0', 0), ('1e3', 1000), ('1.5e1', 15), ('1e18', 10 ** 18), ('1.0', 1.0), ('42.0', 42.0), ('21.37', 21.37), ('0.1', 0.1),
             ('2.718281828459045', 2.718281828459045), ('9999999.0', 9999999.0), ('10000000.0', 10000000), ('123456789012345.0', 123456789012345),
             ('9007199254740993', 9007199254740993), ('-9223372036854775808', -2 ** 63), ('9223372036854775807', 2 ** 63 - 1),
             ('9223372036854775808', '9223372036854775808'), ('1e19', '1' + '0' * 19), ('1e20', '1' + '0' * 20), ('1e300', '1' + '0' * 300),
             ('100000000000000000000.0', '1' + '0' * 20), ('0.30000000000000004', '0.30000000000000004'), ('0.300000000000000', 0.3),
             ('3.14159265358979323846', '3.14159265358979323846'), ('1e-17', '0.00000000000000001'), ('1.0e-16', '0.00000000000000010'),
             ('0.0000000000000001', '0.00000000000000010'), ('0.000000000000001', 1e-15), ('0.00001', 1e-05), ('1E-5', 1e-05), ('NaN', 'NaN'),
             ('nan', 'nan'), ('Infinity', 'Infinity'), ('+1', '+1'), ('1.', '1.'), ('0x10', '0x10'), ('-0.0', 0.0), ('01', 1),
             ('1.00000000000000000000', '1.00000000000000000000'), ('"12"', 12), ('"007"', 7), ('"-5"', -5), ('".5"', 0.5), ('"-.5"', -0.5),
             ('"1.10"', 1.1), ('"1e3"', '1e3'), ('" 12"', ' 12'), ('"+5"', '+5'), ('"1.2.3"', '1.2.3'), ('"5."', '5.'), ('"-"', '-'), ('"."', '.'),
             ('"v1.10"', 'v1.10'), ('"٣"', 3), ('"true"', 'true'), ('true', True), ('"x\\u0000y"', 'xy'), ('""', ''), ('0.1234567890123456', 0.1234567890123456),
             ('0.12345678901234567', '0.12345678901234567'), ('{"x":[1,null,{"y":null}],"n":null}', {'x': [1, None, {}]}), ('[1.5,"7"]', [1.5, '7'])]

    def test_table(self):
        for sent, wanted in self.TABLE:
            with self.subTest(sent):
                (_, items), = values.telemetry(('{"a":%s}' % sent).encode())
                got = values.cast(items['a'])
                self.assertEqual(got, wanted)
                self.assertIs(type(got), type(wanted))

    def test_times(self):
        for sent, wanted in (('1451649600512', 1451649600512), ('1.9', 1), ('1e3', 1000), ('"17"', 17), ('[5]', 5), ('-3', -3),
                             ('9223372036854775808', -2 ** 63), ('1e400', 0)):
            with self.subTest(sent):
                self.assertEqual(values.telemetry(('{"ts":%s,"values":{"a":1}}' % sent).encode())[0][0], wanted)

    def test_bad_times(self):
        for sent, error in (('"2024-01-01"', values.Uncaught), ('"1.5"', values.Uncaught), ('""', values.Uncaught), ('NaN', values.Uncaught),
                            ('true', values.Uncaught), ('null', values.Uncaught), ('{}', values.Uncaught), ('[1,2]', values.BadPayload)):
            with self.subTest(sent), self.assertRaises(error):
                values.telemetry(('{"ts":%s,"values":{"a":1}}' % sent).encode())

    def test_shapes(self):
        for bad in ('', '5', 'null', '"x"', '[[{"a":1}]]', '[1]', '[null]', '{"ts":1,"values":null}', '{"ts":1,"values":[]}'):
            with self.subTest(bad), self.assertRaises(values.BadPayload):
                values.telemetry(bad.encode())
        self.assertEqual(values.telemetry(b'{"ts":1}'), [(None, {'ts': '1'})])
        self.assertEqual(values.telemetry(b'[{"a":1},{"ts":2,"values":{"b":null}}]'), [(None, {'a': '1'}), (2, {})])
        self.assertEqual(values.telemetry(b'[]'), [])

    def test_keys(self):
        for good in ('k' * 255, 'a>b', 'a < b', 'a&b', '{x}', 'a{{b', '"', 'a/b', 'температура'):
            self.assertTrue(values.key_is_good(good), good)
        for bad in ('k' * 256, '😀' * 128, '', ' ', '\t', 'a<b', '<x', '<b>x</b>', '{{}}', '{{x}}', 'a\0b'):
            self.assertFalse(values.key_is_good(bad), bad)

    def test_java_double(self):
        for value, wanted in ((1e7, '1.0E7'), (123456789.5, '1.234567895E8'), (1e-4, '1.0E-4'), (-2.5e-10, '-2.5E-10'), (0.001, '0.001')):
            self.assertEqual(values.java_double(value), wanted)


class Small(unittest.TestCase):
    def test_bucket(self):
        b = limits.Bucket('10:1,15:60,', now=0)
        self.assertEqual([b.take(1, now=0) for _ in range(11)].count(True), 10)
        self.assertTrue(b.take(4, now=0.5))
        self.assertFalse(b.take(4, now=0.9))
        self.assertFalse(b.take(11, now=999))

    def test_limit_option(self):
        self.assertEqual(limits.parse_option('messages=10:1,300:60;telemetryDataPoints=20:1'),
                         {'messages': '10:1,300:60', 'telemetryDataPoints': '20:1'})
        with self.assertRaises(ValueError):
            limits.parse_option('points=1:1')

    def test_series_counts(self):
        s = store.Series()
        for ts, value, young in ((10, 1, True), (20, 2.0, True), (10, 3, True), (15, 'x', False), (30, True, True)):
            s.put('a', ts, value, young)
        s.put(store.GAP_KEY, 5, {'from': 1})
        self.assertEqual(s.count(), dict(stored=4, duplicated=1, reordered=1, reordered_young=0, reordered_old=0, unordered=0, keys=['a'],
                                         lost_entries=0, gaps=[dict(ts=5, value={'from': 1})],
                                         types=dict(LONG=1, DOUBLE=1, STRING=1, BOOLEAN=1)))
        self.assertEqual(s.latest['a'], (30, True))
        self.assertEqual(s.range('a', 0, 30, 10), [(20, 2.0), (15, 'x'), (10, 3)])
        s.put('a', 14, 1, False)
        self.assertEqual([s.count()[w] for w in ('reordered', 'reordered_young', 'reordered_old', 'unordered')], [2, 0, 1, 1])
        s.put('b', 14, 1)
        self.assertEqual([(c['stored'], c['keys']) for c in (s.count('b'), s.count('x'))], [(1, ['b']), (0, [])])

    def test_topics(self):
        class Profile:
            custom_topics = None
        for topic, wanted in ((TELEMETRY, ('telemetry', '', '')), ('v2/t/j', ('telemetry', 'j', '')), (TELEMETRY + '/', None),
                              ('v2/a/req/j/7', ('attribute_request', 'j', '7')), ('v2/r/res/7', ('rpc_reply', 'v2', '7')), ('', None),
                              ('v1/gateway/telemetry', ('gateway', '', 'v1/gateway/telemetry')), ('v2/fw/request/1/chunk/x', None)):
            self.assertEqual(topics.route(topic, Profile), wanted, topic)


class WithServer(unittest.TestCase):
    """One server for all; every test has a device of its own."""

    @classmethod
    def setUpClass(cls):
        cls.tb = Standin('--settle', '0.02', '--store-delay', '0.02')
        cls.addClassCleanup(cls.tb.close)

    def setUp(self):
        self.name = self.id().rsplit('.', 1)[1]
        self.token = self.tb.create_device(self.name)
        self.addCleanup(self.tb.control, 'faults/clear')

    def client(self, version=5):
        c = Client(self.tb.mqtt, version)
        self.addCleanup(c.sock.close)
        return c

    def linked(self, version=5):
        c = self.client(version)
        self.assertEqual(c.connect(self.token), 0)
        return c

    def stored(self, wanted):
        self.tb.wait(lambda: self.tb.count(self.name)['stored'] >= wanted, 3)
        return self.tb.count(self.name)['stored']

    def point(self, ts, value=1):
        return '{"ts":%d,"values":{"a":%s}}' % (ts, value)


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
        for data in (b'\x36\x03\0\x01a', b'\x32\x05\0\x01a\0\0', b'\x80\x05\0\x01\0\0\0', b'\x30\x03\0\x01+', b'\x32\x80\x80\x80\x80\x01',
                     b'\x30\x81\x80\x04'):
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

    def test_attributes(self):
        c = self.linked()
        self.assertEqual(c.subscribe(ATTRIBUTES, ATTRIBUTES + '/response/+', '#'), [1, 1, 0x8F])
        time.sleep(0.05)
        self.tb.share(self.name, {'s': '007', 't': [1, None]})
        self.assertEqual(json.loads(c.downlink()[1]), {'s': 7, 't': [1, None]})
        self.tb.unshare(self.name, ['t'])
        self.assertEqual(json.loads(c.downlink()[1]), {'deleted': ['t']})
        self.assertEqual(c.publish('{"c":1.5,"n":null}', topic=ATTRIBUTES), ('ack', 0))
        self.tb.wait(lambda: self.tb.attributes(self.name))
        self.assertEqual(c.publish('{}', topic=ATTRIBUTES + '/request/9'), ('ack', 0))
        topic, body = c.downlink()
        self.assertEqual((topic, json.loads(body)), (ATTRIBUTES + '/response/9', {'client': {'c': 1.5}, 'shared': {'s': 7}}))

    def test_rpc(self):
        c, answers = self.linked(), []
        c.subscribe('v1/devices/me/rpc/request/+')
        time.sleep(0.05)
        for reply in ('{"ok":1}', 'not json'):
            t = threading.Thread(target=self._ask, args=(answers,))
            t.start()
            topic, body = c.downlink()
            self.assertEqual(json.loads(body), {'method': 'm', 'params': {'x': 1}})
            c.publish(reply, topic=topic.replace('request', 'response'))
            t.join()
        self.assertEqual(answers, [{'ok': 1}, 406])

    def test_provisioning(self):
        self.tb.call('POST', '/api/deviceProfile', dict(name='p', provisionType='ALLOW_CREATE_NEW_DEVICES', provisionDeviceKey='k', profileData=dict(
            provisionConfiguration=dict(provisionDeviceSecret='s'))))
        body = dict(deviceName='new', provisionDeviceKey='k', provisionDeviceSecret='s')
        found = []
        for more in ({}, {}, dict(provisionDeviceSecret='x'), dict(deviceName='b', credentialsType='MQTT_BASIC', clientId='me', username='u', password='p')):
            c = self.client()
            self.assertEqual(c.connect('provision'), 0)
            self.assertEqual(c.subscribe('/provision/response', TELEMETRY), [1, 0x8F])
            self.assertEqual(c.publish(json.dumps(dict(body, **more)), topic='/provision/request'), ('ack', 0))
            found.append(json.loads(c.downlink()[1]))
        self.assertEqual([a['status'] for a in found], ['SUCCESS', 'FAILURE', 'NOT_FOUND', 'SUCCESS'])
        self.assertEqual(self.client().connect(found[0]['credentialsValue']), 0)
        self.assertEqual(self.client().connect('u', client_id='me', password='p'), 0)
        self.assertEqual(self.client().connect('u', client_id='me', password='q'), 0x86)

    def _ask(self, answers):
        try:
            answers.append(self.tb.rpc(self.name, 'm', {'x': 1}, timeout=5))
        except RestError as e:
            answers.append(e.status)


class Faults(WithServer):
    def fault(self, **wanted):
        return self.tb.control('faults', wanted)

    def test_unknown_fault_is_refused(self):
        with self.assertRaises(RestError):
            self.fault(no_such=1)
        with self.assertRaises(RestError):
            self.fault(accept='maybe')

    def test_accept(self):
        for how in ('close', 'reset'):
            self.fault(accept=how)
            try:
                found = self.client().read()
            except ConnectionResetError:        # before connect() was through
                found = 'closed'
            self.assertEqual(found, 'closed')
        self.fault(accept='hang')
        c = self.client()
        c.send(c.connect_bytes(self.token))
        self.assertEqual(c.read(0.2), 'nothing')
        self.fault(accept='unlisten')
        with self.assertRaises(ConnectionRefusedError):
            self.client()
        self.fault(accept=None)
        self.linked()

    def test_connack(self):
        self.fault(connack=0x88, connack_times=1)
        self.assertEqual(self.client().connect(self.token), 0x88)
        self.assertEqual(self.client().connect(self.token), 0)
        self.fault(connack='close', connack_times=-1)
        self.assertEqual(self.client().connect(self.token), 'closed')

    def test_mqtt5_refused(self):
        for how, wanted in (('unsupported', 0x84), ('v3', 1), ('close', 'closed')):
            self.fault(mqtt5=how)
            self.assertEqual(self.client(5).connect(self.token), wanted)
            self.assertEqual(self.client(4).connect(self.token), 0)

    def test_close_before_puback(self):
        self.fault(close_before_puback=1)
        self.assertEqual(self.linked().publish(self.point(1)), 'closed')
        self.assertEqual(self.linked().publish(self.point(1)), ('ack', 0))
        self.fault(close_before_puback=1, close_stores=False, close_how='reset')
        self.assertEqual(self.linked().publish(self.point(2)), 'closed')
        self.assertEqual(self.stored(1), 1)
        self.tb.wait(lambda: self.tb.count(self.name)['duplicated'])
        self.assertEqual(self.tb.count(self.name)['duplicated'], 1)

    def test_acks_lost_late_and_out_of_order(self):
        self.fault(drop_acks=1)
        c = self.linked()
        self.assertEqual(c.publish(self.point(1), timeout=0.1), 'nothing')
        self.fault(ack_delay=0.2)
        self.assertEqual(c.publish(self.point(2), timeout=0.1), 'nothing')
        self.assertEqual(c.answer(), ('ack', 0))
        self.fault(ack_delay=0, ack_reorder=3)
        c.send(b''.join(c.publish_bytes(TELEMETRY, self.point(t)) for t in (3, 4, 5)))
        self.assertEqual([int.from_bytes(c.read()[1][:2], 'big') for _ in range(3)], [5, 4, 3])
        c.send(c.publish_bytes(TELEMETRY, self.point(6)))
        self.assertEqual(c.answer(), ('ack', 0))
        self.assertEqual(self.stored(6), 6)

    def test_hidden_limits(self):
        self.fault(hidden_points=3, hidden_messages='100:1')
        c = self.linked()
        self.assertEqual(c.publish('{"a":1,"b":1,"c":1}'), ('ack', 0))
        self.assertEqual(c.publish('{"a":2,"b":2,"c":2}'), ('disconnect', 0x83))
        self.assertGreaterEqual(self.tb.stats()['closes_rate_limit'], 1)

    def test_session_limits_silent(self):
        self.fault(session_limits='silent')
        c = self.linked()
        ask = '{"method":"getSessionLimits","params":{}}'
        self.assertEqual(c.publish(ask, topic='v1/devices/me/rpc/request/1'), ('ack', 0))
        self.assertEqual(c.read(0.2), 'nothing')
        self.fault(session_limits={'maxPayloadSize': 1000})
        c.publish(ask, topic='v1/devices/me/rpc/request/2')
        self.assertEqual(c.downlink(), ('v1/devices/me/rpc/response/2', b'{"maxPayloadSize":1000}'))

    def test_ping_and_suback(self):
        c = self.linked()
        self.fault(ping='silent', suback='refuse')
        self.assertEqual(c.ping(0.1), 'nothing')
        self.assertEqual(c.subscribe(ATTRIBUTES), [0x8F])
        self.fault(ping=None)
        self.assertIs(c.ping(), True)

    def test_black_hole(self):
        c = self.linked()
        self.tb.control('blackhole', {'on': True})
        c.send(c.publish_bytes(TELEMETRY, self.point(1)))
        other = self.client()
        other.send(other.connect_bytes(self.token))
        self.assertEqual([c.read(0.15), other.read(0.05)], ['nothing', 'nothing'])
        self.assertEqual(self.tb.count(self.name)['stored'], 0)
        other.sock.close()      # given up while black-holed: as if its SYN had been lost, it evicts nobody later
        self.tb.control('blackhole', {'seconds': 0.2, 'device': self.name})
        self.assertEqual(c.read(0.1), 'nothing')
        self.assertEqual(c.answer(), ('ack', 0))
        self.assertEqual(self.stored(1), 1)

    def test_drop(self):
        name = self.name + '-other'
        other = self.client()
        other.connect(self.tb.create_device(name))
        for how in ('close', 'reset'):
            c = self.linked()
            self.assertEqual(self.tb.control('drop', {'how': how, 'device': self.name}), {'dropped': 1})
            self.assertEqual(c.read(), 'closed')
        c = self.linked()
        self.tb.control('drop', {'how': 'disconnect', 'code': 0x8B})
        self.assertEqual([c.answer(), other.answer()], [('disconnect', 0x8B)] * 2)

    def test_events_and_stats(self):
        since = self.tb.stats()['events']
        c = self.linked()
        c.publish('[{"ts":5,"values":{"a":1,"b":2}},{"ts":3,"values":{"a":1}}]')
        self.assertEqual(self.stored(3), 3)
        c.send(b'\xe0\0')
        self.assertEqual(c.answer(), ('disconnect', 0))
        found = [e for e in self.tb.events(since) if e.get('device') == self.name]
        self.assertEqual([e['event'] for e in found], ['connect', 'publish', 'puback', 'disconnect'])
        self.assertEqual([found[1][k] for k in ('points', 'first_ts', 'last_ts', 'qos')], [3, 3, 5, 1])
        self.assertEqual(sorted(e['seq'] for e in found), [e['seq'] for e in found])
        count = self.tb.count(self.name)
        self.assertEqual((count['reordered'], count['types'], count['keys']), (1, {'LONG': 3}, ['a', 'b']))
        stats = self.tb.device_stats(self.name)
        self.assertEqual((stats['connected'], stats['points'], stats['messages']), (False, 3, 1))

    def test_lag(self):
        now = int(time.time() * 1000)
        self.linked().publish('[{"ts":%d,"values":{"a":1}},{"ts":%d,"values":{"a":1}}]' % (now - 9000, now - 1000))
        self.stored(2)
        both, one, none = (self.tb.lag(self.name, since) for since in (0, now - 2000, now))
        self.assertEqual([x['points'] for x in (both, one, none)], [2, 1, 0])
        self.assertTrue(9000 <= both['max'] < 20000 and 1000 <= one['p50'] < 9000, (both, one))
        self.assertIsNone(none['p99'])
        count = self.tb.count(self.name)
        self.assertEqual((count['reordered'], count['reordered_young'], count['reordered_old']), (0, 0, 0))

    def test_attached_counts_by_rest(self):
        self.linked().publish('[{"ts":5,"values":{"a":1,"b":2.5}},{"ts":3,"values":{"a":"x","tbagent_gap":{"n":1}}}]')
        self.stored(3)
        there = Standin.attach(self.tb.http, '127.0.0.1', self.tb.mqtt)
        there.standin = False
        count, plain = there.count(self.name), self.tb.count(self.name)
        for member in ('stored', 'types', 'keys', 'gaps'):
            self.assertEqual(count[member], plain[member])


if __name__ == '__main__':
    unittest.main()
