# SPDX-License-Identifier: Apache-2.0
"""Tests of MQTT in TLS and of X.509 credentials (THINGSBOARD.md 2.1, 2.2, 7.2, 10)."""
import json
import shutil
import socket
import ssl
import tempfile
import time
import warnings

import certificates
from certificates import DAY, Certificates
from mqtt_client import ATTRIBUTES, Client
from standin import Standin
from with_server import WithServer


class Tls(WithServer):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.mkdtemp()
        cls.addClassCleanup(shutil.rmtree, folder)
        cls.made = Certificates(folder)
        cls.ca = cls.made.authority()
        cls.server = cls.made.create('server', cls.ca, ('localhost', '127.0.0.1'))
        cls.mine = cls.made.create('mine')
        cls.tb = Standin('--settle', '0.02', '--store-delay', '0.02', cert=cls.server.cert, key=cls.server.key)
        cls.addClassCleanup(cls.tb.close)

    def context(self, pair=None, version=None, chain=None):
        """Trusts the authority and looks at the server's name, as a client should."""
        context = ssl.create_default_context(cafile=self.ca.cert)
        if version:
            context.minimum_version = context.maximum_version = version
        if pair:
            context.load_cert_chain(chain or pair.cert, pair.key)
        return context

    def secure(self, pair=None, mqtt=5, **more):
        c = Client(self.tb.tls, mqtt, tls=self.context(pair, **more))
        self.addCleanup(c.sock.close)
        return c

    def outcome(self, *given, **more):
        """The CONNACK code, or 'closed': in TLS 1.3 the client is through before the server has looked at its certificate."""
        try:
            return self.secure(*given, **more).connect(None)
        except OSError:
            return 'closed'

    def registered(self, pair):
        self.tb.set_certificate(self.name, certificates.pem(pair))

    def test_token(self):
        for version, name in ((ssl.TLSVersion.TLSv1_2, 'TLSv1.2'), (ssl.TLSVersion.TLSv1_3, 'TLSv1.3')):
            c = self.secure(version=version)
            self.assertEqual(c.connect(self.token), 0)
            self.assertEqual(c.publish(self.point(1)), ('ack', 0))
            self.assertEqual((c.sock.version(), self.tb.device_stats(self.name)['tls']), (name, name))
        self.assertEqual(self.secure().connect('wrong'), 0x86)
        self.assertEqual(self.linked().publish(self.point(2)), ('ack', 0))      # the plain port is there, too
        self.assertIsNone(self.tb.device_stats(self.name)['tls'])

    def test_old_version(self):
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', DeprecationWarning)
            context = self.context(version=ssl.TLSVersion.TLSv1_1)
        context.set_ciphers('DEFAULT@SECLEVEL=0')
        with self.assertRaises(ssl.SSLError) as caught:
            Client(self.tb.tls, tls=context)
        self.assertIn('ALERT', caught.exception.reason)      # the server's, not the client's own

    def test_not_tls(self):
        c = Client(self.tb.tls)
        self.addCleanup(c.sock.close)
        c.send(c.connect_bytes(self.token))
        found = c.read()
        self.assertTrue(found == 'closed' or c.read() == 'closed', found)

    def test_certificate(self):
        self.registered(self.mine)
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            self.assertEqual(self.secure(self.mine, version=version).connect(None), 0)
        self.assertEqual(self.secure(self.mine).connect('no-such-token', password='x'), 0)
        self.assertEqual([self.secure(self.mine, 4).connect(None), self.secure().connect(None)], [0, 0x85])
        self.assertTrue(self.tb.events(event='connect', device=self.name)[-1]['certificate'])
        other, old = self.made.create('other'), self.secure(self.mine)
        self.assertEqual(old.connect(None), 0)
        self.registered(other)
        self.assertEqual([old.answer(), old.read()], [('disconnect', 0x98), 'closed'])
        self.assertEqual([self.secure(self.mine).connect(None), self.secure(other).connect(None)], [0x87, 0])

    def test_unknown_certificate(self):
        stranger = self.made.create('stranger', kind='rsa')
        for mqtt, code in ((5, 0x87), (4, 5)):
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                self.assertEqual(self.secure(stranger, mqtt, version=version).connect(self.token), code)

    def test_dates(self):
        for name, since, days in (('old', -9 * DAY, 1), ('early', DAY, 9)):
            pair = self.made.create(name, since=since, days=days)
            self.registered(pair)
            self.assertEqual([self.secure(pair).connect(None), self.secure(pair, 4).connect(None)], [0x87, 5])

    def test_chain(self):
        """Only the leaf counts; a chain that does not hold ends the handshake."""
        middle = self.made.authority('middle', signer=self.ca)
        leaf = self.made.create('leaf', middle)
        self.registered(leaf)
        whole = certificates.chain(self.made.path('whole.pem'), leaf, middle)
        self.assertEqual([self.secure(leaf).connect(None), self.secure(leaf, chain=whole).connect(None)], [0, 0])
        broken = certificates.chain(self.made.path('broken.pem'), leaf, self.mine)
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            self.assertEqual(self.outcome(leaf, chain=broken, version=version), 'closed')
        self.registered(middle)
        self.assertEqual(self.secure(leaf, chain=whole).connect(None), 0x87)

    def test_stored_form(self):
        self.registered(self.mine)
        c = self.tb.credentials(self.name)
        self.assertEqual((c['credentialsType'], len(c['credentialsId'])), ('X509_CERTIFICATE', 64))
        self.assertEqual(c['credentialsValue'], ''.join(certificates.pem(self.mine).split('\n')[1:-2]))
        self.assertEqual(self.client().connect(c['credentialsId']), 0x86)       # the hash is no token

    def test_provisioning(self):
        self.tb.create_profile(self.name, 'ALLOW_CREATE_NEW_DEVICES', self.name, 's')
        new = self.made.create('new')
        body = dict(provisionDeviceKey=self.name, provisionDeviceSecret='s', deviceName=self.name + '-new',
                    credentialsType='X509_CERTIFICATE', hash=certificates.pem(new))
        for status in ('SUCCESS', 'FAILURE'):
            c = self.secure(new)         # the certificate is not known yet: the session is a provisioning one all the same
            self.assertEqual(c.connect('provision'), 0)
            c.subscribe('/provision/response')
            self.assertEqual(c.publish(json.dumps(body), topic='/provision/request'), ('ack', 0))
            answer = json.loads(c.downlink()[1])
            self.assertEqual(answer['status'], status)
            body['deviceName'] = self.name + '-clash'
        self.assertEqual(self.secure(new).connect(None), 0)
        value = self.tb.credentials(self.name + '-new')['credentialsValue']
        self.assertEqual(value, ''.join(certificates.pem(new).split('\n')[1:-2]))

    def test_large(self):
        c = self.secure()
        self.assertEqual(c.connect(self.token), 0)
        self.assertEqual(c.subscribe(ATTRIBUTES), [1])
        time.sleep(0.05)
        self.tb.share(self.name, {'big': 'x' * 1000000})
        self.assertEqual(len(c.downlink()[1]), 1000010)
        c.send(b''.join(c.publish_bytes(ATTRIBUTES, '{"a":"%s"}' % ('y' * 60000)) for _ in range(20)))
        self.assertEqual([c.answer() for _ in range(20)], [('ack', 0)] * 20)

    def test_accept(self):
        for how in ('close', 'reset'):
            self.tb.fault(accept=how)
            with self.assertRaises(OSError):
                self.secure()
        self.tb.fault(accept='hang')
        with socket.create_connection(('127.0.0.1', self.tb.tls), 0.2) as sock, self.assertRaises(TimeoutError):
            self.context().wrap_socket(sock, server_hostname='localhost')
        self.tb.fault(accept='unlisten')
        with self.assertRaises(ConnectionRefusedError):
            self.secure()
        self.tb.fault(accept=None)
        self.assertEqual(self.secure().connect(self.token), 0)

    def test_black_hole(self):
        c = self.secure()
        self.assertEqual(c.connect(self.token), 0)
        self.tb.control('blackhole', {'on': True})
        c.send(c.publish_bytes('v2/t', self.point(1)))
        other = socket.create_connection(('127.0.0.1', self.tb.tls), 0.2)
        self.addCleanup(other.close)
        tls = self.context().wrap_socket(other, server_hostname='localhost', do_handshake_on_connect=False)
        self.addCleanup(tls.close)
        with self.assertRaises(TimeoutError):
            tls.do_handshake()
        self.assertEqual(c.read(0.1), 'nothing')
        self.tb.control('blackhole', {'on': False})
        tls.settimeout(3)
        tls.do_handshake()               # what it sent meanwhile has waited
        self.assertEqual(c.answer(), ('ack', 0))

    def test_cut(self):
        for how in ('close', 'reset'):
            c = self.secure()
            self.assertEqual(c.connect(self.token), 0)
            self.tb.control('drop', {'how': how, 'device': self.name})
            self.assertEqual(c.read(), 'closed')

    def test_new_server_certificate(self):
        """A changed file is in force for the next connection."""
        with open(self.server.cert) as f, open(self.server.key) as g:
            old = f.read(), g.read()
        new = self.made.create('next', self.ca, ('localhost', '127.0.0.1'))
        for source, target in zip(new, self.server):
            shutil.copy(source, target)
        self.addCleanup(lambda: [self.write(*x) for x in zip(self.server, old)])
        c = self.secure()
        self.assertEqual(c.connect(self.token), 0)
        self.assertEqual(dict(x[0] for x in c.sock.getpeercert()['subject'])['commonName'], 'next')

    @staticmethod
    def write(path, text):
        with open(path, 'w') as f:
            f.write(text)
