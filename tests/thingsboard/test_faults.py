# SPDX-License-Identifier: Apache-2.0
"""Tests of the stand-in's faults, cuts, counters and events."""
import time

from mqtt_client import ATTRIBUTES, TELEMETRY
from standin import RestError, Standin
from with_server import WithServer


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
