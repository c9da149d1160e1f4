# SPDX-License-Identifier: Apache-2.0
"""What a user reads for each thing that may be wrong with TLS."""
import os
import shutil
import socket
import subprocess

import daemon
from certificates import DAY, Certificates, pem
from common import DEVICE
from standin import Standin


class World:
    def __init__(self, case, mqtt):
        self.case, self.mqtt = case, mqtt
        self.make = Certificates(case.folder)
        self.ca = self.make.authority()
        self.number = 0

    def server(self, pair):
        return self.case.using(Standin('--settle', '0.02', cert=pair.cert, key=pair.key))

    def start(self, server, host='localhost', ca=None, credentials=None, port=None, token=None):
        self.number += 1
        token = token or server.create_device('%s%d' % (DEVICE, self.number))
        text = 'server = { url = "mqtts://%s:%d"; protocol = "%s"; %s %s };\nclock = "system";\n' \
            'plugins = { s = { plugin = "ok"; every = "1s"; }; };\n' % (
                host, port or server.tls, self.mqtt, 'ca = "%s";' % ca if ca else '', credentials or 'token = "%s";' % token)
        return self.case.using(daemon.Daemon(self.case, text, name='tls-%d' % self.number, more_options=(
            '--state-dir', os.path.join(self.case.folder, 'state-%d' % self.number),
            '--runtime-dir', os.path.join(self.case.folder, 'run-%d' % self.number))))

    def says(self, name, d, words):
        """The line of the log that a user finds."""
        line = d.wait_for_line('; next try in|^connected', 40)
        self.case.note('%-24s %s', name, line)
        self.case.check(words in line, '"%s" is not in it', words)
        d.stop(5)


def client_certificates(case, w):
    good = w.make.create('good', signer=w.ca, hosts=('localhost',))
    server = w.server(good)
    known, unknown = w.make.create('known'), w.make.create('unknown')
    server.create_device('x')
    server.set_certificate('x', pem(known))
    files = 'cert = "%s"; key = "%s";'
    w.says('client certificate', w.start(server, ca=w.ca.cert, credentials=files % known, token='-'), 'connected')
    w.says('unknown certificate', w.start(server, ca=w.ca.cert, credentials=files % unknown, token='-'), 'certificate')
    w.says('key of another one', w.start(server, ca=w.ca.cert, credentials=files % (known.cert, unknown.key), token='-'), 'key')


def wants_one(case, w):
    """mosquitto, which does not even finish without a client certificate."""
    mosquitto = shutil.which('mosquitto') or '/usr/sbin/mosquitto'
    if not os.path.exists(mosquitto):
        case.note('certificate wanted       (mosquitto is not installed)')
        return
    good = w.make.create('wants', signer=w.ca, hosts=('localhost',))
    port = daemon.free_port()
    conf = daemon.write(os.path.join(case.folder, 'mosquitto.conf'),
                        'listener %d 127.0.0.1\nallow_anonymous true\ncertfile %s\nkeyfile %s\ncafile %s\nrequire_certificate true\n'
                        'user root\n' % (port, good.cert, good.key, w.ca.cert))
    p = subprocess.Popen([mosquitto, '-c', conf], stderr=subprocess.DEVNULL)
    case.stack.callback(lambda: (p.kill(), p.wait()))
    daemon.wait_for(lambda: answers(port), 10, 'mosquitto')
    w.says('certificate wanted', w.start(None, ca=w.ca.cert, port=port, token='t'), 'client certificate')


def answers(port):
    try:
        socket.create_connection(('127.0.0.1', port), 1).close()
        return True
    except OSError:
        return False


def renewed(case, w):
    """A new CA file is taken with a reload, and a running connection goes over to it."""
    first, second = w.make.create('one', signer=w.ca, hosts=('localhost',)), w.make.authority('other')
    file = os.path.join(case.folder, 'ca.pem')
    shutil.copy(second.cert, file)
    server = w.server(first)
    d = w.start(server, ca=file)
    case.note('%-24s %s', 'wrong CA file', d.wait_for_line('is not trusted', 40))
    shutil.copy(w.ca.cert, file)
    d.hang_up()
    d.connected(20)
    mark = d.mark()
    shutil.copy(w.ca.cert, file + '.new')
    os.rename(file + '.new', file)
    d.hang_up()
    d.wait_for_line('the certificates have changed', 10, mark)
    d.connected(20, mark)
    mark = d.mark()
    d.hang_up()
    d.wait_for_line('configuration read again', 10, mark)
    case.equal(d.matching('certificates have changed', mark), [], 'a reload without new files')
    d.stop(5)


def tls(case, o):
    w = World(case, o.mqtt)
    hosts = dict(signer=w.ca, hosts=('localhost',))
    good = w.server(w.make.create('plain', **hosts))
    w.says('good', w.start(good, ca=w.ca.cert), 'connected')
    w.says('wrong host', w.start(good, host='127.0.0.1', ca=w.ca.cert), 'is not for the name 127.0.0.1')
    w.says('expired', w.start(w.server(w.make.create('old', since=-9 * DAY, days=1, **hosts)), ca=w.ca.cert), 'has expired')
    w.says('not yet valid', w.start(w.server(w.make.create('early', since=5 * DAY, **hosts)), ca=w.ca.cert), 'not valid yet')
    w.says('unknown CA', w.start(good), 'set server.ca')
    w.says('no TLS on that port', w.start(good, ca=w.ca.cert, port=good.mqtt), 'TLS port')
    w.says('CA file missing', w.start(good, ca='/nowhere/ca.pem'), '/nowhere/ca.pem')
    client_certificates(case, w)
    wants_one(case, w)
    renewed(case, w)
