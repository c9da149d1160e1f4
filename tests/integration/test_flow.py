#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""From sensors to the server: everything that is made arrives, once and in order, whatever the link does meanwhile."""
import contextlib
import json
import os
import re
import subprocess
import time

import tap
from daemon import SLOW, config, free_port, holes, longest_turn, settled, standin, start, wait_for, write
from mqtt_client import TELEMETRY, Client

# A shell loop as a sensor: integers, a text and a boolean that stay what they are, a number in quotes.
SCRIPT = '''read up idle < /proc/uptime; echo '{"exec_up": '$up', "exec_text": "warm", "exec_on": true}' '''
EXEC = '  shell = { plugin = "exec"; every = "200ms"; shell = true; command = "%s"; };' % SCRIPT.replace('"', '\\"')
SYSTEM = '  machine = { plugin = "system"; every = "500ms"; };'
COUNTER = '  counter = { plugin = "counter"; every = "100ms"; };'
BATCH = .2
ONE_LANE = 'batch_interval = "200ms"; store_after = "5min";'     # nothing goes to the disk, so nothing overtakes
SHORT = SLOW >= 8       # under valgrind: what matters is that all of it runs


def protocol_option(protocol):
    return 'protocol = "%s";' % protocol


def stored(server, key=None):
    """Values the server has; of one key when it is given."""
    if key is None:
        return server.count('d')['stored']
    return len(server.series('d', [key]).get(key, []))


def counted_on(server, more=5):
    """Waits until the server got so many further values of the counter."""
    have = stored(server, 'count')
    wait_for(lambda: stored(server, 'count') >= have + more, 40, '%d further values of the counter' % more)


def caught_up(case, server, seconds=3):
    """Waits until rows have arrived fresh for some time: a close that may have been a rate limit slows them down first."""
    began = time.time()

    def fresh():
        since = time.time() - seconds
        ages = [e['t'] * 1000 - e['first_ts'] for e in server.events(event='publish') if e['t'] > since and e.get('first_ts')]
        return since > began and ages and max(ages) < 1000

    wait_for(fresh, 60, 'fresh rows')
    case.note('rows are fresh again after %.1f s', time.time() - began - seconds)


def check_counter(case, server):
    """The counter loses no number, and its values stand in their order."""
    values = [v for _, v in server.series('d', ['count']).get('count', [])]
    case.equal(holes(values), [], 'numbers of the counter that are missing')
    case.equal(values, sorted(values), 'the counter by time')


def check_types(case, server, count):
    """Numbers are numbers: no text but the one that was meant as such."""
    texts = [k for k, rows in server.series('d').items() for _, v in rows if isinstance(v, str) and k != 'exec_text']
    case.equal(texts, [], 'keys with text for a number')
    case.check(count['types'].get('LONG', 0) > 0 and count['types'].get('DOUBLE', 0) > 0, 'types %s', count['types'])
    case.note('types %s, keys %s', count['types'], ' '.join(count['keys']))


def check_times(case, server):
    """A row is as old as the batch interval when it arrives, not older and not from the future."""
    ages = [(e['t'] * 1000 - e['first_ts'], e['t'] * 1000 - e['last_ts']) for e in server.events(event='publish')
            if e.get('what') == 'telemetry' and e.get('first_ts')]
    oldest, newest = max(a for a, _ in ages), min(b for _, b in ages)
    case.note('rows arrive %d to %d ms after their time', newest, oldest)
    case.check(newest > -1000 and oldest < (1 + BATCH) * 1000 * SLOW + 500, 'rows of %d to %d ms', newest, oldest)


def plain(case, protocol):
    """all three plugins on MQTT %s: each value once, with its type and time"""
    server, url, token = standin(case)
    daemon = start(case, config('\n'.join([SYSTEM, EXEC, COUNTER]), url, token, protocol_option(protocol)))
    daemon.connected()
    wait_for(lambda: stored(server, 'count') >= (10 if SHORT else 30), 40, 'values of the counter')
    wait_for(lambda: {'exec_up', 'load1'} <= set(server.keys('d')), 40, 'values of exec and system')
    case.equal(server.device_stats('d')['protocol'], protocol, 'protocol')
    counts = daemon.stop()
    count = settled(case, server, counts)
    case.equal(count['duplicated'], 0, 'values that came twice')
    check_counter(case, server)
    check_types(case, server, count)
    check_times(case, server)
    longest_turn(case, counts)


def cut(case, protocol):
    """the link is cut, and the server closes instead of acknowledging, on MQTT %s: nothing is lost"""
    server, url, token = standin(case)
    daemon = start(case, config('\n'.join([SYSTEM, COUNTER]), url, token, protocol_option(protocol), ONE_LANE))
    daemon.connected()
    counted_on(server)
    # On 3.1.1 a bare close may be a rate limit, and after the second in ten minutes sending is slowed by design.
    for how in ('reset', 'close') if protocol == '5' else ('reset',):
        mark = daemon.mark()
        server.control('drop', {'how': how})
        daemon.connected(40, mark)
        counted_on(server)
    mark = daemon.mark()
    server.control('faults', {'close_before_puback': 1, 'close_stores': protocol == '5', 'close_how': 'reset'})
    daemon.connected(40, mark)
    caught_up(case, server)
    counts = daemon.stop()
    settled(case, server, counts)
    check_counter(case, server)
    case.note('%d connections', server.device_stats('d')['connects'])
    longest_turn(case, counts)


def slow(case, protocol):
    """acknowledgements late and out of order, then a black hole of 3 s, on MQTT %s: nothing is lost"""
    server, url, token = standin(case)
    daemon = start(case, config('\n'.join([EXEC, COUNTER]), url, token, protocol_option(protocol), ONE_LANE))
    daemon.connected()
    counted_on(server)
    server.control('faults', {'ack_reorder': 3})
    counted_on(server, 20)
    server.control('faults', {'ack_reorder': 0, 'ack_delay': .6})
    counted_on(server, 10)
    server.control('faults/clear')
    server.control('blackhole', {'seconds': 3})
    counted_on(server, 25)
    counts = daemon.stop()
    count = settled(case, server, counts)
    case.equal(count['duplicated'], 0, 'values that came twice')
    check_counter(case, server)
    case.equal(server.device_stats('d')['connects'], 1, 'connections')
    longest_turn(case, counts)


def late(case, protocol):
    """the server comes after the daemon, on MQTT %s: what was sampled before arrives too"""
    server, url, token = standin(case)
    server.control('faults', {'accept': 'unlisten'})
    daemon = start(case, config(COUNTER, url, token, protocol_option(protocol), ONE_LANE))
    daemon.wait_for_line(r'next try in')
    server.control('faults/clear')
    daemon.connected(40)
    counted_on(server)
    counts = daemon.stop()
    settled(case, server, counts)
    check_counter(case, server)
    first = server.series('d', ['count'])['count'][0]
    case.equal(first[1], 0, 'first value of the counter')
    case.check(first[0] < daemon.started * 1000 + 1000 * SLOW, 'the first row has the time of its arrival')


@contextlib.contextmanager
def mosquitto(folder):
    """A real broker; yields its port."""
    program = '/usr/sbin/mosquitto'
    if not os.path.exists(program):
        raise tap.Skipped('mosquitto is not installed')
    port = free_port()
    conf = write(os.path.join(folder, 'mosquitto.conf'),
                 'listener %d 127.0.0.1\nallow_anonymous true\npersistence false\n' % port, 0o644)
    process = subprocess.Popen([program, '-c', conf], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: process.poll() is not None or answers(port), 10, 'mosquitto')
        yield port
    finally:
        process.terminate()
        process.wait()


def answers(port):
    with contextlib.suppress(OSError), Client(port):
        return True
    return False


def entries(payload):
    """[(ts, values)] of a telemetry payload, or the reason why it is none."""
    rows = json.loads(payload)
    rows = rows if isinstance(rows, list) else [rows]
    for row in rows:
        if set(row) != {'ts', 'values'} or type(row['ts']) is not int or not row['values'] or type(row['values']) is not dict:
            raise tap.Failed('not an entry of telemetry: %r' % (row,))
    return [(row['ts'], row['values']) for row in rows]


def broker(case, protocol):
    """a real mosquitto on MQTT %s: telemetry is JSON of the shape that ThingsBoard takes"""
    port = case.using(mosquitto(case.folder))
    listener = case.using(Client(port))
    case.equal(listener.connect(None, client_id='listener'), 0, 'CONNACK')
    listener.subscribe(TELEMETRY, qos=0)
    daemon = start(case, config('\n'.join([EXEC, COUNTER]), 'mqtt://127.0.0.1:%d' % port, 't', protocol_option(protocol)))
    daemon.connected()
    found = []
    wait_for(lambda: received(listener, found) >= (10 if SHORT else 40), 40, 'values at the broker')
    counts = daemon.stop()
    case.equal((counts.acknowledged, counts.waiting), (counts.made, 0), 'acknowledged and waiting of %d made' % counts.made)
    wait_for(lambda: received(listener, found) >= counts.made, 5, 'the last values')
    points = [(k, ts) for ts, values in found for k in values]
    case.equal((len(points), len(set(points))), (counts.made, counts.made), 'values and different ones')
    case.check(all(abs(ts / 1000 - time.time()) < 120 for _, ts in points), 'times of rows: %s', points[:3])
    numbers = [values['count'] for _, values in found if 'count' in values]
    case.equal(numbers, list(range(len(numbers))), 'the counter')
    case.check(re.fullmatch(r'\d+\.\d+|\d+', str(dict(p for _, v in found for p in v.items())['exec_up'])), 'exec_up')
    case.note('%d values in %d rows', len(points), len(found))


def received(listener, found):
    """Takes over what came in at QoS 0; how many values there are."""
    while isinstance(packet := listener.read(.05), tuple):
        size = int.from_bytes(packet[1][:2], 'big')
        if packet[1][2:2 + size] == TELEMETRY.encode():
            found += entries(packet[1][2 + size + len(listener.properties):])
    return sum(len(values) for _, values in found)


if __name__ == '__main__':
    functions = [(f, p) for f in (plain, cut, slow, late, broker) for p in ('5', '3.1.1')]
    tap.main([(plain, '5'), (cut, '3.1.1')] if SHORT else functions, parallel=1 if SHORT else 4)
