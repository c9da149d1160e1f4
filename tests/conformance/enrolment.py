# SPDX-License-Identifier: Apache-2.0
"""Cases 41 and 43: a device that asks the server for itself, or lets a user claim it; and what comes later."""
import os
import re

import daemon as real
import wire
from bus import CTL, Bus
from world import COUNTER, RestError, Skipped, case

NEW, PREPARED = 'ALLOW_CREATE_NEW_DEVICES', 'CHECK_PRE_PROVISIONED_DEVICES'


@case(42, skip='not yet')
def firmware(w):
    """not yet: firmware updates"""


@case(45, skip='not yet')
def gateway_on_311(w):
    """not yet: a gateway on MQTT 3.1.1"""


# ---- provisioning

def profile(w, mode):
    """A device profile that takes devices; its id."""
    made = w.server.create_profile(w.name, mode, 'key-' + w.name, 'secret-' + w.name)
    w.case.stack.callback(_forget_profile, w, made['id']['id'])
    return made['id']['id']


def _forget_profile(w, ident):
    try:
        for name in devices(w):
            w.server.delete_device(name)
        w.server.call('DELETE', '/api/deviceProfile/' + ident)
    except (RestError, OSError):        # the stand-in keeps its profiles
        pass


def devices(w):
    """Names of those that were made for this case."""
    found = w.server.call('GET', '/api/tenant/devices?pageSize=100&page=0&textSearch=' + w.name)['data']
    return [d['name'] for d in found]


def enrol(w, kind='token', connected=True):
    """The daemon, with nothing but key and secret of the profile."""
    more = 'provision = { key = "key-%s"; secret = "secret-%s"; name = "%s"; credentials = "%s"; };'
    more %= w.name, w.name, w.name, kind
    return w.start(COUNTER, token='', more=more, connected=connected)


def lose_the_answer(w, kept):
    """The next answer is lost with its connection. kept: gets whether the credentials were on the disk by then."""
    def lost(packet):
        if w.wire.lost or not packet.is_downlink(wire.PROVISIONED):
            return False
        kept.append(os.path.exists(w.state('credentials')))
        return True
    w.wire.lose = lost


def lost_answer(w, kind):
    """Asks, loses the answer, and is a device all the same."""
    kept = []
    lose_the_answer(w, kept)
    daemon = enrol(w, kind, connected=False)
    w.until(lambda: w.wire.lost, 'the answer that gets lost')
    w.wire.cut()
    daemon.connected(40)
    w.until(lambda: w.server.device_id(w.name), 'the device')
    w.counted_on()
    w.equal(devices(w), [w.name], 'devices')
    w.equal(kept, [True], 'whether the credentials were on the disk before the answer came')
    w.equal(daemon.matching(r'secret-|%s' % w.server.credentials(w.name)['credentialsId']), [], 'lines that show a secret')


@case(41, seconds=5)
def created(w):
    """a device that the server makes anew; its answer gets lost: one device, the credentials that were made before work"""
    profile(w, NEW)
    lost_answer(w, 'token')
    w.equal(len(w.wire.publishes(wire.PROVISION)), 1, 'requests')
    w.whole()


@case(41, seconds=5)
def created_basic(w):
    """the same with MQTT basic credentials"""
    profile(w, NEW)
    lost_answer(w, 'basic')
    w.equal(w.server.credentials(w.name)['credentialsType'], 'MQTT_BASIC', 'type of the credentials')
    w.whole()


@case(41, seconds=5)
def prepared(w):
    """a device that was created before; the answer with its credentials gets lost: asked again, it gets the same"""
    w.server.create_device(w.name, deviceProfileId=dict(entityType='DEVICE_PROFILE', id=profile(w, PREPARED)))
    token = w.server.device_token(w.name)
    lost_answer(w, 'token')
    w.equal(w.server.device_token(w.name), token, 'token of the device')
    w.whole()


@case(41)
def restarted(w):
    """what was granted is used again after a restart: no second request"""
    profile(w, NEW)
    enrol(w)
    w.counted_on()
    w.stop()
    line = len(w.wire.publishes(wire.PROVISION))
    enrol(w)
    w.counted_on()
    w.equal((line, len(w.wire.publishes(wire.PROVISION)), devices(w)), (1, 1, [w.name]), 'requests before and after, devices')


@case(41)
def name_taken(w):
    """a name that another device has: an operator is told what to do, and nothing is sent meanwhile"""
    w.server.create_device(w.name, deviceProfileId=dict(entityType='DEVICE_PROFILE', id=profile(w, NEW)))
    daemon = enrol(w, connected=False)
    daemon.wait_for_line(r'does not give this machine the device "%s".*Delete that device in ThingsBoard' % w.name, 20)
    w.equal([p.payload for p in w.wire.publishes() if p.topic != wire.PROVISION], [], 'what was published')
    w.equal(len(w.wire.publishes(wire.PROVISION)), 1, 'requests')


@case(41)
def wrong_secret(w):
    """a secret that the server does not know: told, and not asked again at once"""
    daemon = enrol(w, connected=False)
    daemon.wait_for_line(r'knows no device profile with this provision.key', 20)
    w.until(lambda: real.is_alive(daemon.pid), 'the daemon')
    w.equal(len(w.wire.publishes(wire.PROVISION)), 1, 'requests')


# ---- claiming

def claimed(w, secret):
    """Whether a customer may claim the device with this secret."""
    try:
        return w.server.claim(w.name, secret)['response'] == 'SUCCESS'
    except RestError as e:
        if e.status == 401:
            raise Skipped('there is no user customer@thingsboard.org') from None
        return False


@case(43, seconds=8)
def claims_once(w):
    """each claim is sent once, also over a new connection; of two secrets the first is valid"""
    if not os.access(CTL, os.X_OK):
        raise Skipped('tbagentctl is not built')
    bus = w.case.using(Bus(w.case))
    daemon = w.start(env=bus.env)
    w.ready()
    bus.reachable()
    for secret in ('first', 'second'):
        w.equal(bus.ctl('claim', secret, '5min')[::2], (0, ''), 'exit code of tbagentctl claim, and what it complains of')
    line = daemon.mark()
    w.wire.cut()
    daemon.connected(30, line)
    w.until(lambda: w.rpc('agent.ping') == 'pong', 'an answer')
    sent = [re.sub(rb'\s', b'', p.payload) for p in w.wire.publishes(wire.CLAIM)]
    w.equal(sent, [b'{"secretKey":"%s","durationMs":300000}' % s for s in (b'first', b'second')], 'claims')
    w.check(claimed(w, 'first'), 'the first secret is not valid')
