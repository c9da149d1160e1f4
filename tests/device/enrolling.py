# SPDX-License-Identifier: Apache-2.0
"""The device asks the server for itself."""
import os
import re
import shutil
import time

import daemon
from certificates import Certificates
from standin import Standin

PROFILE = 'sensors'
KEY, SECRET = 'the-key', 'the-secret'
INSTANCES = '  l = { plugin = "bench"; prefix = "%s"; every = "200ms"; keys_per_call = 1; };'
KINDS = {'token': 'ACCESS_TOKEN', 'basic': 'MQTT_BASIC', 'x509': 'X509_CERTIFICATE'}


class Board:
    """A machine: a board with a serial number, and a card with a state directory."""

    def __init__(self, world, serial):
        self.world, self.serial = world, serial
        folder = world.case.folder
        self.tree = os.path.join(folder, 'board-' + serial)
        self.state, self.runtime = os.path.join(folder, 'state-' + serial), os.path.join(folder, 'run-' + serial)
        os.makedirs(self.tree)
        for name, text in (('serial-number', serial), ('model', 'Raspberry Pi 4 Model B Rev 1.4')):
            daemon.write(os.path.join(self.tree, name), text + '\0')
        self.number = 0

    def start(self, kind='token', key=KEY, more='', prefix=None, url=None):
        self.number += 1
        w = self.world
        server = 'server = { url = "%s"; protocol = "%s"; %s };\n' % (url or w.url(kind), w.mqtt,
                                                                     'ca = "%s";' % w.ca if kind == 'x509' else '')
        provision = 'provision = { key = "%s"; secret = "%s"; credentials = "%s"; %s };\n' % (key, SECRET, kind, more)
        text = server + provision + 'clock = "system";\ntelemetry = { batch_interval = "200ms"; store_after = "500ms"; };\n' \
            'plugins = {\n%s\n};\n' % (INSTANCES % (prefix or self.serial))
        d = daemon.Daemon(w.case, text, name='%s-%d' % (self.serial, self.number), more_options=(
            '--state-dir', self.state, '--runtime-dir', self.runtime, '--device-tree', self.tree))
        return w.case.using(d)


class World:
    def __init__(self, case, mqtt):
        self.case, self.mqtt = case, mqtt
        certificates = Certificates(case.folder)
        pair = certificates.create('server', hosts=('localhost', '127.0.0.1'))
        self.ca = pair.cert
        self.server = case.using(Standin('--settle', '0.02', '--store-delay', '0.01', cert=pair.cert, key=pair.key))

    def url(self, kind='token'):
        return 'mqtts://localhost:%d' % self.server.tls if kind == 'x509' else 'mqtt://127.0.0.1:%d' % self.server.mqtt

    def profile(self, provision='ALLOW_CREATE_NEW_DEVICES', name=PROFILE, key=KEY):
        return self.server.create_profile(name, provision=provision, key=key, secret=SECRET)

    def devices(self):
        return [d['name'] for d in self.server.stats()['devices']]

    def sends(self, name, more=3):
        """The device's values arrive."""
        have = self.server.count(name)['stored']
        daemon.wait_for(lambda: self.server.count(name)['stored'] >= have + more, 20, 'values of %s' % name)


def no_secret(case, d):
    """Neither key, secret nor credentials in the log."""
    case.equal(d.matching(SECRET + '|' + KEY), [], 'lines with a secret')


def created(case, w):
    for kind, name in KINDS.items():
        b = Board(w, kind + '1')
        d = b.start(kind)
        d.wait_for_line('has given this machine a device of its own: "%s"' % b.serial)
        d.connected(20)
        w.sends(b.serial)
        case.equal(w.server.credentials(b.serial)['credentialsType'], name, 'credentials of %s' % b.serial)
        files = os.listdir(b.state)
        for f in [f for f in files if f in ('credentials', 'device.key')]:
            case.equal(oct(os.stat(os.path.join(b.state, f)).st_mode & 0o777), '0o600', 'mode of %s' % f)
        d.stop()
        no_secret(case, d)
        d = b.start(kind)       # the next start needs no request
        d.connected(20)
        w.sends(b.serial)
        case.equal(d.matching('asking the server'), [], 'requests at the second start')
        d.stop()
    case.note('%s: created, connected, connected again', ', '.join(KINDS))


def lost(case, w, kind):
    """The request is carried out and the answer gets lost."""
    b = Board(w, 'lost-' + kind)
    w.server.fault(provision_lost=1)
    d = b.start(kind)
    d.connected(30)
    w.sends(b.serial)
    case.equal(w.devices().count(b.serial), 1, 'devices of that name')
    d.stop()
    d = b.start(kind)
    d.connected(20)
    case.equal(d.matching('asking the server'), [], 'requests at the second start')
    d.stop()
    case.note('answer lost (%s): one device, and the login works', kind)


def lost_and_killed(case, w):
    """The same, and the daemon is killed before it knows."""
    b = Board(w, 'killed')
    w.server.fault(provision_lost=1)
    d = b.start()
    daemon.wait_for(lambda: b.serial in w.devices(), 20, 'the device')
    d.process.kill()
    d.process.wait()
    d = b.start()
    d.connected(30)
    w.sends(b.serial)
    case.equal(w.devices().count(b.serial), 1, 'devices of that name')
    d.stop()
    case.note('answer lost and killed: one device, and the login works')


def refused(case, w):
    b = Board(w, 'taken')
    w.server.create_device('taken')
    d = b.start()
    line = d.wait_for_line('does not give this machine the device')
    case.note('%s', line)
    case.check(all(x in line for x in ('Delete that device', 'check pre-provisioned', '/etc/tbagent.token')), 'a way out is missing')
    case.equal(w.server.count('taken')['stored'], 0, 'values of the other device')
    d.stop()
    d = b.start(key='wrong')
    case.note('%s', d.wait_for_line('knows no device profile'))
    d.stop()
    no_secret(case, d)


def pre_provisioned(case, w):
    profile = w.profile('CHECK_PRE_PROVISIONED_DEVICES', 'pre', 'pre-key')
    w.server.create_device('known', deviceProfileId=profile['id'])
    b = Board(w, 'known')
    w.server.fault(provision_lost=1)
    d = b.start(key='pre-key')
    d.connected(120)
    w.sends('known')
    d.stop()
    b = Board(w, 'stranger')
    d = b.start(key='pre-key')
    d.wait_for_line('does not give this machine the device')
    d.stop()
    case.note('pre-provisioned: known one connected although the first answer was lost, stranger refused')


def provision(case, o):
    w = World(case, o.mqtt)
    w.profile()
    created(case, w)
    for kind in ('token', 'x509') if o.short else KINDS:
        lost(case, w, kind)
    lost_and_killed(case, w)
    refused(case, w)
    if not o.short:
        pre_provisioned(case, w)


def clone(case, o):
    w = World(case, o.mqtt)
    w.profile()
    first = Board(w, 'first')
    d = first.start(prefix='secretly')
    d.connected(20)
    w.sends('first')
    w.server.share('first', {'site': 'cellar'})
    daemon.wait_for(lambda: os.path.exists(os.path.join(first.state, 'shared.conf')), 10, 'the mirror')
    w.server.fault(accept='unlisten')       # what it makes now waits on its card
    w.server.control('drop', {'how': 'reset'})
    spool = os.path.join(first.state, 'spool')
    daemon.wait_for(lambda: os.path.isdir(spool) and any(os.path.getsize(os.path.join(spool, f)) > 0 for f in os.listdir(spool)), 20,
                    'rows on the disk')
    d.stop(5)
    second = Board(w, 'second')
    shutil.copytree(first.state, second.state)
    shutil.copytree(first.state, os.path.join(case.folder, 'third'))
    w.server.control('faults/clear')
    began = int(time.time() * 1000)
    d = second.start(prefix='openly')
    case.note('%s', d.wait_for_line('the card comes from board first'))
    d.connected(30)
    w.sends('second')
    aside = os.path.join(second.state, 'of-first')
    case.check({'credentials', 'spool', 'shared.conf'} <= set(os.listdir(aside)), 'what was set aside: %s', os.listdir(aside))
    keys = w.server.keys('second')
    case.equal([k for k in keys if k.startswith('secretly')], [], 'keys of the first under the name of the second')
    rows = w.server.series('second')
    case.equal([k for k, r in rows.items() if any(ts < began for ts, _ in r)], [], 'rows from before')
    case.check('cellar' not in open_text(os.path.join(second.state, 'shared.conf')), 'the first device\'s attributes are still there')
    d.stop()
    original(case, w, first)
    identity_card(case, w)


def open_text(path):
    if not os.path.exists(path):
        return ''
    with open(path) as f:
        return f.read()


def original(case, w, first):
    """The first one goes on, and what waited arrives."""
    before = w.server.count('first')['stored']
    d = first.start(prefix='secretly')
    d.connected(30)
    w.sends('first')
    daemon.wait_for(lambda: w.server.count('first')['stored'] > before + 5, 20, 'what waited on the first card')
    case.equal(d.matching('card comes from'), [], 'said on the board itself')
    d.stop()
    case.equal(sorted(w.devices()), ['first', 'second'], 'devices')


def identity_card(case, w):
    """With identity = "card" the credentials go with the card."""
    third = Board(w, 'third')
    os.rename(os.path.join(case.folder, 'third'), third.state)
    d = third.start(more='identity = "card";', prefix='third')
    d.connected(30)
    case.equal(sorted(w.devices()), ['first', 'second'], 'devices')
    daemon.wait_for(lambda: any(re.match('third', k) for k in w.server.keys('first')), 10, 'values under the first name')
    d.stop()
    case.note('identity = "card": the copy is the first device')
