# SPDX-License-Identifier: Apache-2.0
"""Cases 1 to 6, 37 and 44: logins, refusals, sessions that end."""
import os
import re
import threading

import wire
from rules import FILTERS
from world import COUNTER, Wire, case

from daemon import write
from mqtt_client import Client

REFUSED = r'access token.*next try in (\d+\.\d) s'


def waits(w, pattern):
    """The seconds that the log announces in lines like this."""
    return [float(re.search(pattern, line).group(1)) for line in w.daemon.matching(pattern)]


def logins(w):
    """The times of all CONNECTs."""
    return [p.time for p in w.wire.seen(wire.CONNECT)]


def tries_again_after_half_a_minute(w, mark):
    """From the CONNECT that was refused to the next."""
    before = w.wire.seen(wire.CONNECT, since=mark)
    w.until(lambda: len(w.wire.seen(wire.CONNECT, since=mark)) > len(before), 'the next login', 45)
    times = [p.time for p in w.wire.seen(wire.CONNECT, since=mark)]
    pause = times[len(before)] - times[len(before) - 1]
    w.note('next login after %.1f s', pause)
    w.check(29 < pause < 40, 'the next login came after %.1f s', pause)


@case(1, seconds=33)
def wrong_token(w):
    """a wrong token: one clear line, half a minute between two logins, and what was sampled meanwhile arrives"""
    w.token = w.server.create_device(w.name)
    w.start(COUNTER, connected=False, token='token = "%s";' % (w.name + 'x'))
    w.daemon.wait_for_line(REFUSED, 20)
    w.equal([p.code for p in w.wire.seen(wire.CONNACK, up=False)], [0x86 if w.version == 5 else 5], 'codes of CONNACK')
    w.server.set_token(w.name, w.name + 'x')
    tries_again_after_half_a_minute(w, 0)
    w.daemon.connected(20)
    w.equal(len(waits(w, REFUSED)), 1, 'lines about it')
    w.check(29 < waits(w, REFUSED)[0] <= 30, 'told wait: %s', waits(w, REFUSED))
    w.counted_on()
    w.whole()
    w.equal(w.daemon.matching(w.name + 'x'), [], 'lines that show the token')


@case(2)
def subscribes_again(w):
    """after each CONNACK it subscribes anew, and the subscriptions work"""
    daemon = w.start()
    w.ready()
    for _ in range(2):
        mark, line = w.wire.mark(), daemon.mark()
        w.wire.cut()
        daemon.connected(20, line)
        w.until(lambda m=mark: w.wire.seen(wire.SUBACK, False, m), 'a SUBACK')
        w.equal(w.rpc('agent.ping'), 'pong', 'answer to agent.ping')
        w.server.share(w.name, dict(x=line))
        w.until(lambda m=mark: w.wire.downlinks(wire.ATTRIBUTES, m), 'the update')
        w.until(lambda n=line: w.mirror().get('x') == n, 'the update in the mirror')
    sessions = [p.connection for p in w.wire.seen(wire.CONNECT)]
    w.equal(sorted({p.connection for p in w.wire.seen(wire.SUBSCRIBE)}), sessions, 'sessions with a SUBSCRIBE')
    w.check(all(p.is_clean for p in w.wire.seen(wire.CONNECT)), 'a CONNECT without clean session')


@case(3, standin=[], seconds=8)
def not_ready(w):
    """a server that is not ready, or limits sessions: it comes back soon, but not in step, and keeps all it has"""
    codes = [0x88, 0x9F] if w.version == 5 else [3]
    w.server.control('faults', {'connack': codes[0]})
    daemon = w.start(COUNTER, connected=False)
    for code in codes:
        w.server.control('faults', {'connack': code})
        daemon.wait_for_line(r'0x%02X.*next try in' % code, 20)
    w.until(lambda: len(logins(w)) > 3, 'further logins')
    w.server.control('faults/clear')
    daemon.connected(40)
    w.counted_on()
    w.whole()
    told = waits(w, r'code 0x.*next try in (\d+\.\d) s')
    pauses = [b - a for a, b in zip(logins(w), logins(w)[1:])]
    w.note('pauses: %s', ', '.join('%.2f s' % p for p in pauses))
    w.equal(len(told), len(codes), 'lines, one for each reason')
    w.check(all(p < 2 ** i + 1 for i, p in enumerate(pauses)), 'pauses %s', pauses)
    w.check(sum(pauses) > .6, 'pauses without jitter: %s', pauses)


class Thief:
    """Another program with the same credentials: logs in each time the agent has."""

    def __init__(self, w, times):
        self.w, self.over, self.times, self.sessions = w, threading.Event(), times, 0
        self.wire = w.case.using(Wire(w.server.host, w.server.mqtt))
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while self.sessions < self.times and not self.over.is_set():
            if len([p for p in self.w.wire.seen(wire.SUBACK, False)]) > self.sessions:
                with Client(self.wire.port, self.w.version) as c:
                    c.connect(self.w.token, client_id='thief')
                    self.sessions += 1
                    while not self.over.is_set() and c.read(.1) == 'nothing':
                        pass
            self.over.wait(.05)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join(5)


@case(4, seconds=25)
def taken_over(w):
    """a second program with the same token: it says so, and comes back ever more slowly in place of fighting for it"""
    five = w.version == 5
    times = 2 if five else 4
    daemon = w.start()
    with Thief(w, times) as thief:
        w.until(lambda: thief.sessions == times and len(daemon.matching(r'^connected to')) > times,
                'the session after %d takeovers' % times, 60)
    told = waits(w, r'another program.*next try in (\d+\.\d) s' if five else r'closed.*next try in (\d+\.\d) s')
    w.note('waits: %s', told)
    w.equal(len(told), times, 'lines, one for each takeover')
    if five:
        w.check(5 <= told[0] <= 10 and 10 <= told[1] <= 20, 'waits: %s', told)
    else:       # a bare close may have many reasons, but when it comes again and again the log names this one
        w.check(all(t <= 2 ** i for i, t in enumerate(told)) and sum(told) > .5, 'waits: %s', told)
        w.check(daemon.matching(r'does another program use the same credentials'), 'lines: %s', daemon.lines)


@case(5, seconds=33)
def token_rotated(w):
    """a token that was changed: it says so, keeps what it has, and takes the new one from its file without a restart"""
    w.token = w.server.create_device(w.name)
    path = write(os.path.join(w.folder, 'token'), w.token + '\n')
    daemon = w.start(COUNTER, token='token_file = "%s";' % path)
    w.counted_on()
    mark = w.wire.mark()
    w.server.set_token(w.name, w.name + 'y')
    daemon.wait_for_line(REFUSED, 20)
    line = daemon.mark()
    write(path, w.name + 'y\n')
    tries_again_after_half_a_minute(w, mark)
    daemon.connected(20, line)
    w.counted_on()
    if w.version == 5:
        w.check(daemon.matching(r'credentials changed.*0x98'), 'lines: %s', daemon.lines)
    w.whole()


@case(6)
def subscribes_exactly(w):
    """it subscribes to the four exact topics at QoS 1, no wildcard beyond the id, and all are granted"""
    w.start()
    w.ready()
    asked = [item for p in w.wire.seen(wire.SUBSCRIBE) for item in p.subscriptions(w.version).items()]
    w.equal(sorted(asked), sorted(FILTERS), 'SUBSCRIBE')
    w.equal([p.body[-1] for p in w.wire.seen(wire.SUBACK, False)], [1] * len(w.wire.seen(wire.SUBSCRIBE)), 'codes of SUBACK')


@case(6, standin=[])
def subscription_refused(w):
    """a subscription that is refused is told loudly, for each topic, and telemetry goes on"""
    w.server.control('faults', {'suback': 'refuse'})
    daemon = w.start(COUNTER)
    code = '0x8f' if w.version == 5 else '0x80'
    for topic in ('attributes ', r'attributes/response/\+', r'rpc/request/\+', r'rpc/response/\+'):
        daemon.wait_for_line(r'refuses the subscription to v1/devices/me/%s.*%s' % (topic, code))
    w.counted_on()


@case(37, seconds=23)
def keepalive(w):
    """an idle session lives by PINGREQs at the interval that it told"""
    w.start(server='keepalive = "10s";')
    w.equal(w.wire.seen(wire.CONNECT)[0].keepalive, 10, 'keepalive of CONNECT')
    w.until(lambda: len(w.wire.seen(wire.PINGREQ)) > 1, 'two PINGREQs', 30)
    times = [p.time for p in w.wire.packets if p.up]
    longest = max(b - a for a, b in zip(times, times[1:]))
    w.note('longest silence %.1f s', longest)
    w.check(longest < 15, 'a silence of %.1f s', longest)
    w.equal(len(logins(w)), 1, 'sessions')


@case(37)
def keepalive_bounds(w):
    """a keepalive above 5 min, or none, is a mistake in the configuration"""
    for value in ('15min', '301s', '0s'):
        w.refused(r'server\.keepalive', server='keepalive = "%s";' % value)
    w.start()
    w.check(0 < w.wire.seen(wire.CONNECT)[0].keepalive <= 300, 'keepalive of CONNECT')


@case(44, seconds=33)
def deleted(w):
    """a device that was deleted: it says so, tries again after half a minute, and is as before where the device comes back"""
    daemon = w.start(COUNTER)
    w.counted_on()
    mark, token = w.wire.mark(), w.token
    w.server.delete_device(w.name)
    daemon.wait_for_line(REFUSED, 20)
    w.equal(w.wire.seen(wire.CONNACK, False, mark)[-1].code, 0x86 if w.version == 5 else 5, 'code of CONNACK')
    if w.version == 5:
        # Paho knows of no DISCONNECT where it meets the close of the connection as it writes
        w.check(daemon.matching(r'device was deleted.*0x98|closed without a word'), 'lines: %s', daemon.lines)
    line = daemon.mark()
    w.server.create_device(w.name)
    w.server.set_token(w.name, token)
    tries_again_after_half_a_minute(w, mark)
    daemon.connected(20, line)
    w.counted_on()
    w.whole(all_of_it=False)
