# SPDX-License-Identifier: Apache-2.0
"""Tests of what the stand-in's core does for a device: attributes, RPC, provisioning, claims."""
import json
import time

from mqtt_client import ATTRIBUTES, Client
from standin import RestError
from with_server import WithServer

REQUEST, RESPONSE = ATTRIBUTES + '/request/', ATTRIBUTES + '/response/'
RPC = 'v1/devices/me/rpc/request/+'


class Attributes(WithServer):
    def test_update_request_delete(self):
        c = self.linked()
        self.assertEqual(c.subscribe(ATTRIBUTES, RESPONSE + '+', '#'), [1, 1, 0x8F])
        time.sleep(0.05)
        self.tb.share(self.name, {'s': '007', 't': [1, None]})
        self.assertEqual(json.loads(c.downlink()[1]), {'s': 7, 't': [1, None]})
        self.tb.unshare(self.name, ['t', 'never'])
        self.assertEqual(json.loads(c.downlink()[1]), {'deleted': ['t', 'never']})
        self.assertEqual(c.publish('{"c":1.5,"n":null}', topic=ATTRIBUTES), ('ack', 0))
        self.tb.wait(lambda: self.tb.attributes(self.name))
        self.assertEqual(c.publish('{}', topic=REQUEST + '9'), ('ack', 0))
        topic, body = c.downlink()
        self.assertEqual((topic, json.loads(body)), (RESPONSE + '9', {'client': {'c': 1.5}, 'shared': {'s': 7}}))

    def test_lost_until_the_subscription_holds(self):
        self.options(settle=0.4)
        c = self.linked()
        c.subscribe(ATTRIBUTES)
        began = time.monotonic()
        self.tb.share(self.name, {'a': 1})
        c.publish('{"sharedKeys":"a"}', topic=REQUEST + '1')
        self.assertEqual(c.downlink(), (RESPONSE + '1', b'{"shared":{"a":1}}'))
        self.assertGreater(time.monotonic() - began, 0.3)
        c.subscribe(ATTRIBUTES)      # the first one goes on meanwhile
        self.tb.share(self.name, {'a': 2})
        self.assertEqual(c.downlink(), (ATTRIBUTES, b'{"a":2}'))

    def test_only_what_was_written(self):
        c = self.subscribed(ATTRIBUTES)
        for written in ({'a': 1}, {'a': 1}, {'b': 'x', 'deleted': 7}):
            self.tb.share(self.name, written)
            self.assertEqual(json.loads(c.downlink()[1]), written)
        path = '/api/plugins/telemetry/DEVICE/%s/attributes/SERVER_SCOPE' % self.tb.device_id(self.name)
        self.tb.call('POST', path, {'v': 1})
        self.assertEqual(c.read(0.1), 'nothing')

    def test_types_and_text(self):
        c = self.subscribed(ATTRIBUTES)
        for written, text in ((10000000.0, b'1.0E7'), (0.0001, b'1.0E-4'), (['007'], b'["007"]'), ('1.10', b'1.1'),
                              (0.30000000000000004, b'"0.30000000000000004"'), (2 ** 63 - 1, b'9223372036854775807'),
                              ('x\0', b'"x\\u0000"')):
            self.tb.share(self.name, {'k': written})
            self.assertEqual(c.downlink()[1], b'{"k":%s}' % text)
        self.assertEqual(self.tb.attributes(self.name, 'SHARED_SCOPE'), {'k': 'x'})

    def test_writes_that_are_refused(self):
        for written, status in (({'k': None}, 500), ({'a<b': 1}, 400), ([1], 400)):
            with self.assertRaises(RestError) as caught:
                self.tb.share(self.name, written)
            self.assertEqual(caught.exception.status, status)
        self.assertEqual(self.tb.attributes(self.name, 'SHARED_SCOPE'), {})

    def test_unsubscribed(self):
        c = self.subscribed(ATTRIBUTES)
        c.send(b'\xa2' + bytes([len(ATTRIBUTES) + 5]) + b'\0\x09\0' + bytes([0, len(ATTRIBUTES)]) + ATTRIBUTES.encode())
        self.assertEqual(c.read()[0], 11)
        self.tb.share(self.name, {'a': 1})
        self.assertEqual(c.read(0.1), 'nothing')

    def test_answers_lost(self):
        c = self.linked()
        self.tb.fault(attribute_answers=2)
        for ident in (1, 2, 3):
            self.assertEqual(c.publish('{}', topic=REQUEST + str(ident)), ('ack', 0))
        self.assertEqual(c.downlink(), (RESPONSE + '3', b'{}'))
        self.tb.fault(attribute_answers='silent')
        c.publish('{}', topic=REQUEST + '4')
        self.assertEqual(c.read(0.1), 'nothing')
        with self.assertRaises(RestError):
            self.tb.fault(attribute_answers='often')

    def test_reordered(self):
        c = self.subscribed(ATTRIBUTES)
        self.tb.fault(downlink_reorder=3)
        for i in (1, 2, 3):
            self.tb.share(self.name, {'k': i})
        got = [json.loads(c.downlink()[1])['k'] for _ in range(3)]
        self.assertEqual(sorted(got), [1, 2, 3])
        self.assertNotEqual(got, [1, 2, 3])
        since = self.tb.now()
        self.tb.fault(downlink_reorder=2, downlink_hold=5)
        c.publish('{"sharedKeys":"k"}', topic=REQUEST + '1')
        self.tb.wait_event('held', since, device=self.name)     # the answer, with the old value
        self.tb.share(self.name, {'k': 4})
        self.assertEqual([c.downlink(), c.downlink()], [(ATTRIBUTES, b'{"k":4}'), (RESPONSE + '1', b'{"shared":{"k":3}}')])
        self.tb.fault(downlink_hold=0.05)
        self.tb.share(self.name, {'k': 5})
        self.assertEqual(c.downlink(), (ATTRIBUTES, b'{"k":5}'))

    def test_events(self):
        since = self.tb.now()
        self.linked().publish('{"a":1,"b.every":"10s","n":null}', topic=ATTRIBUTES)
        self.assertEqual(self.tb.wait_event('attributes', since, device=self.name)['keys'], ['a', 'b.every'])


class ServerRpc(WithServer):
    def ask(self, method='m', params=None, **more):
        return self.during(self.tb.rpc, self.name, method, params, **more)

    def soon(self, seconds=0.3):
        return int((time.time() + seconds) * 1000)

    def state(self, rpc_id, wanted):
        self.tb.wait(lambda: self.tb.rpc_state(rpc_id)['status'] == wanted, 3)
        return self.tb.rpc_state(rpc_id)['status']

    def test_replies(self):
        c = self.subscribed(RPC)
        for reply, answer in (('{"ok":1}', {'ok': 1}), ('not json', 406), ('{a:1}', 406), ('NaN', 406), ('', None),
                              ('null', None)):
            result = self.ask(params={'x': 1e7})
            ident, body = c.request()
            self.assertEqual(body, b'{"method":"m","params":{"x":1.0E7}}')
            self.assertEqual(c.reply(ident, reply), ('ack', 0))
            self.assertEqual(result(), answer)

    def test_delivered_again(self):
        c = self.subscribed(RPC)
        result = self.ask()
        first = c.request()
        c.subscribe(RPC)
        self.assertEqual(c.request(), first)
        other = self.linked(4)
        other.subscribe(RPC)
        self.assertEqual(other.request(), first)
        other.reply(first[0], '1')
        other.reply(first[0], '2')
        self.assertEqual(result(), 1)
        self.assertEqual(self.tb.replies(self.name), [(0, '1'), (0, '2')])
        self.assertEqual([e['stale'] for e in self.tb.events(event='rpc reply', device=self.name)], [False, True])
        other.subscribe(RPC)
        self.assertEqual(other.read(0.1), 'nothing')

    def test_waits_for_the_subscription(self):
        self.options(settle=0.2)
        c = self.linked()
        two, one = self.ask('two'), self.ask('one', oneway=True)
        c.subscribe(RPC)
        began = time.monotonic()
        methods = sorted(json.loads(c.request()[1])['method'] for _ in range(2))
        self.assertEqual((methods, one()), (['one', 'two'], None))
        self.assertGreater(time.monotonic() - began, 0.1)
        c.subscribe(RPC)
        ident, body = c.request()      # the one-way one is done with
        self.assertEqual(json.loads(body)['method'], 'two')
        c.reply(ident, '{}')
        self.assertEqual((two(), c.read(0.3)), ({}, 'nothing'))

    def test_no_reply(self):
        path = '/api/plugins/rpc/twoway/' + self.tb.device_id(self.name)
        old = [self.during(self.tb.call, 'POST', path, dict(method='m', expirationTime=self.soon()))]
        new = [self.ask(expirationTime=self.soon())]
        self.assertEqual((old[0](), new[0]()), (409, 504))
        self.subscribed(RPC)
        old, new = self.during(self.tb.call, 'POST', path, dict(method='m', expirationTime=self.soon())), self.ask(
            expirationTime=self.soon())
        self.assertEqual((old(), new()), (408, 504))

    def test_ids_start_again(self):
        c = self.subscribed(RPC)
        results = [self.ask(expirationTime=self.soon(0.5))]
        self.assertEqual(c.request()[0], 0)
        results.append(self.ask(expirationTime=self.soon(0.5)))
        self.assertEqual(c.request()[0], 1)
        self.assertEqual(self.tb.restart_rpc_ids(self.name), 2)
        late = self.ask()
        self.assertEqual(c.request()[0], 0)
        c.subscribe(RPC)
        self.assertEqual(c.request()[0], 0)
        c.reply(0, '"new"')
        c.reply(1, '"old"')
        self.assertEqual([late()] + [r() for r in results], ['new', 504, 504])
        self.assertEqual(c.read(0.05), 'nothing')

    def test_sent_twice(self):
        c = self.subscribed(RPC)
        self.tb.fault(rpc_duplicate=1)
        result = self.ask()
        first = c.request()
        self.assertEqual((c.request(), c.got_id), (first, 2))
        c.reply(first[0], '7')
        self.assertEqual(result(), 7)
        self.ask(oneway=True)()
        self.assertEqual((c.request()[0], c.read(0.1)), (1, 'nothing'))

    def test_persistent(self):
        rpc_id = self.tb.rpc(self.name, 'm', {'a': 1}, persistent=True)['rpcId']
        self.assertEqual(self.tb.rpc_state(rpc_id)['status'], 'QUEUED')
        c = self.subscribed(RPC)
        topic, _ = c.downlink()
        self.assertEqual(self.state(rpc_id, 'SENT'), 'SENT')
        c.puback()
        self.assertEqual(self.state(rpc_id, 'DELIVERED'), 'DELIVERED')
        c.reply(int(topic[-1]), 'no json')
        state = self.tb.rpc_state(rpc_id)
        self.assertEqual((state['status'], state['response']), ('SUCCESSFUL', {'error': 'no json'}))
        self.assertEqual(state['request']['body'], {'method': 'm', 'params': '{"a":1}'})
        one = self.tb.rpc(self.name, 'm', oneway=True, persistent=True)['rpcId']
        c.request()
        self.assertEqual(self.state(one, 'DELIVERED'), 'DELIVERED')
        c.subscribe(RPC)
        self.assertEqual(c.read(0.1), 'nothing')
        listed = self.tb.call('GET', '/api/rpc/persistent/device/%s?pageSize=10&page=0&rpcStatus=DELIVERED' % self.tb.device_id(
            self.name))
        self.assertEqual([r['id']['id'] for r in listed['data']], [one])

    def test_persistent_without_puback(self):
        self.options(rpc_ack_timeout=0.1)
        c = self.subscribed(RPC)
        rpc_id = self.tb.rpc(self.name, 'm', persistent=True)['rpcId']
        gone = self.tb.rpc(self.name, 'm', persistent=True, retries=0)['rpcId']
        self.assertEqual([c.downlink()[0][-1], c.downlink()[0][-1]], ['0', '1'])
        self.assertEqual((self.state(rpc_id, 'TIMEOUT'), self.state(gone, 'FAILED')), ('TIMEOUT', 'FAILED'))
        c.subscribe(RPC)
        self.assertEqual(c.downlink()[0][-1], '0')
        c.reply(0, '1')      # counts without a PUBACK, too
        self.assertEqual((self.state(rpc_id, 'SUCCESSFUL'), c.read(0.1)), ('SUCCESSFUL', 'nothing'))

    def test_persistent_ends(self):
        late = self.tb.rpc(self.name, 'm', persistent=True, expirationTime=self.soon())['rpcId']
        kept = self.tb.rpc(self.name, 'm', persistent=True)['rpcId']
        removed = self.tb.rpc(self.name, 'm', persistent=True)['rpcId']
        self.tb.call('DELETE', '/api/rpc/persistent/' + removed)
        with self.assertRaises(RestError):
            self.tb.rpc_state(removed)
        self.assertEqual(self.state(late, 'EXPIRED'), 'EXPIRED')
        self.tb.restart_rpc_ids(self.name)      # what was never sent is taken up again, with a new id
        c = self.subscribed(RPC)
        self.assertEqual((c.request()[0], self.state(kept, 'DELIVERED'), c.read(0.1)), (0, 'DELIVERED', 'nothing'))

    def test_limit_of_messages(self):
        self.tb.control('limits', {'messages': '4:60'})
        self.addCleanup(self.tb.control, 'limits', {'messages': None})
        c = self.subscribed(RPC)                       # CONNECT, SUBSCRIBE
        self.ask(oneway=True)
        ident, _ = c.request()                         # the PUBACK makes the transport tell the core
        self.assertEqual(c.reply(ident, '1'), ('ack', 0))
        self.assertEqual(c.reply(ident, '2'), ('disconnect', 0x83))

    def test_client_rpc_is_seen(self):
        since = self.tb.now()
        self.linked().publish('{"method":"time","params":{"x":1.5}}', topic='v1/devices/me/rpc/request/3')
        seen = self.tb.wait_event('client rpc', since, device=self.name)
        self.assertEqual([seen[k] for k in ('id', 'method', 'params')], [3, 'time', '{"x":1.5}'])


class DownlinkControl(WithServer):
    def test_anything(self):
        c = self.subscribed(RPC)
        for payload in (b'{"method":', b'\xff\xfe{}', b'[' * 10000, b'{"method":"m","params":"%s"}' % (b'x' * 1000000), b''):
            ident = self.tb.downlink(self.name, 'v1/devices/me/rpc/request/77', payload)
            self.assertEqual(c.downlink(), ('v1/devices/me/rpc/request/77', payload))
            self.assertEqual(c.got_id, ident)
        since = self.tb.now()
        c.puback()
        c.reply(77, '\udcff'.encode('utf-8', 'surrogateescape'))
        self.assertEqual(self.tb.replies(self.name), [(77, '\ufffd')])
        self.assertIsNotNone(self.tb.wait_event('device puback', since, device=self.name, id=c.got_id))
        self.tb.downlink(self.name, ATTRIBUTES, '{"é":1}', qos=0)
        self.assertEqual((c.downlink(), c.got_id), ((ATTRIBUTES, '{"é":1}'.encode()), 0))

    def test_refused(self):
        for wrong in (dict(topic='t'), dict(topic='t', payload='', payload_b64=''), dict(payload=''), dict(topic='t', payload=5),
                      dict(topic='t', payload='', qos=2), dict(topic='t', payload_b64='*'), dict(topic='t', payload='')):
            with self.assertRaises(RestError) as caught:
                self.tb.control('downlink', dict(wrong, device=self.name))
            self.assertEqual(caught.exception.status, 400)
        for call in ('downlink', 'restart-rpc-ids'):
            with self.assertRaises(RestError) as caught:
                self.tb.control(call, dict(device='nobody'))
            self.assertEqual(caught.exception.status, 404)


class Provisioning(WithServer):
    def ask(self, **body):
        """The answer, or what came in its place."""
        body = dict(dict(provisionDeviceKey=self.name, provisionDeviceSecret='s', deviceName=self.name + '-new'), **body)
        with Client(self.tb.mqtt) as c:
            self.assertEqual(c.connect('provision'), 0)
            self.assertEqual(c.subscribe('/provision/response', ATTRIBUTES), [1, 0x8F])
            found = c.publish(json.dumps(body), topic='/provision/request')
            return json.loads(c.downlink()[1]) if found == ('ack', 0) else found

    def profile(self, kind='ALLOW_CREATE_NEW_DEVICES'):
        return self.tb.create_profile(self.name, kind, self.name, 's')

    def test_create(self):
        self.profile()
        first = self.ask()
        self.assertEqual([first['status'], self.ask()['status'], self.ask(provisionDeviceSecret='x')['status']],
                         ['SUCCESS', 'FAILURE', 'NOT_FOUND'])
        self.assertEqual(self.client().connect(first['credentialsValue']), 0)
        self.assertEqual(self.tb.attributes(self.name + '-new', 'SERVER_SCOPE'), {'provisionState': 'provisioned'})
        self.assertEqual(self.ask(deviceName='b', token=self.token)['status'], 'FAILURE')
        self.assertEqual(self.ask(deviceName=' ')['status'], 'FAILURE')
        self.assertEqual(self.ask(deviceName='b', token='t')['credentialsValue'], 't')
        self.assertEqual([self.ask(deviceName=None), self.ask(token=None)], [('ack', 0x83)] * 2)

    def test_basic(self):
        self.profile()
        answer = self.ask(credentialsType='MQTT_BASIC', clientId='me', username='u', password='p')
        self.assertEqual(answer, dict(status='SUCCESS', credentialsType='MQTT_BASIC', credentialsValue=dict(
            clientId='me', userName='u', password='p')))
        self.assertEqual(self.client().connect('u', client_id='me', password='p'), 0)
        self.assertEqual(self.client().connect('u', client_id='me', password='q'), 0x86)

    def test_lost(self):
        self.profile()
        self.tb.fault(provision_lost=1)
        self.assertEqual(self.ask(token=self.name + '-own'), 'closed')
        self.assertEqual(self.ask(token=self.name + '-own')['status'], 'FAILURE')
        self.assertEqual(self.client().connect(self.name + '-own'), 0)

    def test_pre_provisioned(self):
        profile = self.profile('CHECK_PRE_PROVISIONED_DEVICES')
        self.assertEqual([self.ask()['status'], self.ask(deviceName=self.name)['status']], ['FAILURE', 'FAILURE'])
        token = self.tb.create_device(self.name + '-new', deviceProfileId=profile['id'])
        self.tb.fault(provision_lost=1)
        self.assertEqual(self.ask(token='mine'), 'closed')
        self.assertEqual(self.ask(token='mine'), dict(status='SUCCESS', credentialsType='ACCESS_TOKEN',
                                                      credentialsValue=token))

    def test_profiles_that_are_refused(self):
        self.profile()
        for name, key in ((self.name, None), ('other', self.name)):
            with self.assertRaises(RestError) as caught:
                self.tb.create_profile(name, key=key)
            self.assertEqual(caught.exception.status, 400)


class Claims(WithServer):
    def claim(self, payload):
        self.assertEqual(self.linked().publish(payload, topic='v1/devices/me/claim'), ('ack', 0))

    def refused(self, secret=''):
        with self.assertRaises(RestError) as caught:
            self.tb.claim(self.name, secret)
        self.assertEqual(caught.exception.status, 400)
        return caught.exception.body

    def test_claim(self):
        self.assertEqual(self.refused(), 'FAILURE')
        self.claim('{"secretKey":"s","durationMs":60000}')
        self.claim('{"secretKey":"other"}')      # the first one stays
        self.assertEqual(self.refused('other'), 'FAILURE')
        self.assertEqual(self.refused('s'), 'FAILURE')
        self.claim('{"secretKey":"s"}')
        self.assertEqual(self.tb.claim(self.name, 's')['response'], 'SUCCESS')
        self.assertEqual(self.refused('s'), 'CLAIMED')
        self.tb.unclaim(self.name)
        self.claim('')
        self.assertEqual(self.tb.claim(self.name)['response'], 'SUCCESS')

    def test_what_arrived(self):
        self.claim('{"secretKey":"s","durationMs":100}')
        self.claim('')
        found = self.tb.device_stats(self.name)['claims']
        self.assertEqual([(c['secret'], c['duration_ms']) for c in found], [('s', 100), ('', 86400000)])
        time.sleep(0.15)
        self.claim('{"secretKey":"t"}')          # the first one is over
        self.assertEqual(self.tb.claim(self.name, 't')['response'], 'SUCCESS')

    def test_not_by_the_tenant(self):
        self.claim('')
        with self.assertRaises(RestError) as caught:
            self.tb.call('POST', '/api/customer/device/%s/claim' % self.name, {})
        self.assertEqual(caught.exception.status, 403)
