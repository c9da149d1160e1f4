# SPDX-License-Identifier: Apache-2.0
"""An option of a running instance follows a shared attribute."""
import shutil
import time

import daemon
from common import DEVICE, World, dumped

INSTANCE = '  s = { plugin = "api"; prefix = "s"; every = "%s"; };'
WITHIN_MS = 200


def told_at(w, since_ms):
    """When the plugin was told of a setting (ms), of those after since_ms."""
    rows = w.server.series(DEVICE, ['s_told']).get('s_told', [])
    return [ts for ts, _ in rows if ts >= since_ms]


def effective(case, w, value):
    """Sets s.every; how long after the downlink the plugin had it."""
    since, now = w.server.now(), int(time.time() * 1000)
    w.server.share(DEVICE, {'s.every': value})
    sent = w.server.wait_event('downlink', since, device=DEVICE, topic='v1/devices/me/attributes')
    case.check(sent, 'the server sent no update')
    told = daemon.wait_for(lambda: told_at(w, now), 10, 'the plugin to be told')[0]
    w.comes('s.every', value)
    return told - sent['t'] * 1000


def interval_of(w, key='s_n'):
    """The pace of the last samples, from their times."""
    rows = [ts for ts, _ in w.server.series(DEVICE, [key], limit=4).get(key, [])]
    return (rows[-1] - rows[0]) / (len(rows) - 1) if len(rows) == 4 else 0


def of_status(w):
    found = [i for i in w.status()['instances'] if i['name'] == 's'][0]['settings']
    return {s['option']: s for s in found}


def setting(case, o):
    w = World(case, o.mqtt)
    d = w.start(INSTANCE % '10s')
    d.connected()
    daemon.wait_for(lambda: w.status()['shared_attributes']['synced'], 10, 'the attributes to be in step')
    delays = sorted(effective(case, w, v) for v in ('5s', '7s', '100ms', '300ms') * (1 if o.short else 5))
    case.note('effective %.0f ms after the downlink (median), %.0f ms at most', delays[len(delays) // 2], delays[-1])
    if daemon.SLOW == 1:
        case.check(delays[-1] <= WITHIN_MS, 'later than %d ms', WITHIN_MS)
    daemon.wait_for(lambda: 250 < interval_of(w) < 350, 10, 'samples every 300 ms')
    case.equal({k: of_status(w)['every'][k] for k in ('value', 'file', 'from')},
               {'value': '300ms', 'file': '10s', 'from': 'server'}, 'what the status says')
    refused(case, w)
    reboot(case, w)
    deleted(case, w)
    reloaded(case, w)
    switched_off(case, w)
    w.daemon.stop()


def refused(case, w):
    w.server.share(DEVICE, {'s.every': 'often', 's.step': 5000})
    daemon.wait_for(lambda: 'no duration' in (w.at_server('s.every.error') or ''), 10, 's.every.error')
    daemon.wait_for(lambda: w.at_server('s.step.error'), 10, 's.step.error')
    case.note('s.every.error: %s', w.at_server('s.every.error'))
    case.note('s.step.error: %s', w.at_server('s.step.error'))
    case.equal((w.at_server('s.every'), w.at_server('s.step')), ('300ms', 1), 'what stays in effect')
    w.server.share(DEVICE, {'s.every': '250ms'})
    w.comes('s.every', '250ms')
    w.comes('s.every.error', '')
    w.server.unshare(DEVICE, ['s.step'])
    w.comes('s.step.error', '')
    other = w.server.attributes(DEVICE)
    w.server.share(DEVICE, {'s.nothing': 1, 's.plugin': 'x', 'elsewhere.every': '1s', 'plain': 2})
    daemon.wait_for(lambda: 'elsewhere.every' in w.status()['unknown_settings'], 10, 'a setting of an unknown instance')
    case.equal(w.server.attributes(DEVICE), other, 'attributes that are no options are not answered')


def reboot(case, w):
    """No network, no /run: the value is in effect all the same."""
    w.daemon.stop()
    shutil.rmtree(w.runtime)
    w.link.refuse()
    d = w.start(INSTANCE % '10s')
    d.wait_for_line('s: running')
    begin = time.time() * 1000
    time.sleep(2)
    w.link.accept()
    d.connected(60)
    rows = daemon.wait_for(lambda: [t for t, _ in w.server.series(DEVICE, ['s_n']).get('s_n', []) if begin <= t < begin + 2000], 20,
                           'samples taken without a network')
    case.check(len(rows) >= 5, 'only %d samples in two seconds without a network', len(rows))
    case.note('after a reboot without a network: %d samples in 2 s', len(rows))


def deleted(case, w):
    w.server.unshare(DEVICE, ['s.every'])
    w.comes('s.every', '10s')
    daemon.wait_for(lambda: 's.every' not in dumped(w.mirror), 10, 'the mirror without it')
    case.equal(of_status(w), {}, 'settings in the status')


def reloaded(case, w):
    """A reload says what the server overrides, and keeps it."""
    w.server.share(DEVICE, {'s.every': '400ms'})
    w.comes('s.every', '400ms')
    mark = w.daemon.mark()
    daemon.write(w.daemon.conf, open(w.daemon.conf).read().replace('every = "10s"', 'every = "20s"'))
    w.daemon.hang_up()
    w.daemon.wait_for_line(r's\.every stays "400ms".*delete the attribute', 10, mark)
    daemon.wait_for(lambda: of_status(w).get('every', {}).get('file') == '20s', 10, 'the new value of the file')
    case.equal(of_status(w)['every']['value'], '400ms', 'value in effect')


def switched_off(case, w):
    w.server.share(DEVICE, {'s.enabled': False})
    w.comes('s.enabled', False)
    daemon.wait_for(lambda: [i['state'] for i in w.status()['instances']] == ['disabled'], 10, 'the instance to end')
    w.server.unshare(DEVICE, ['s.enabled'])
    daemon.wait_for(lambda: [i['state'] for i in w.status()['instances']] == ['running'], 10, 'the instance to run again')
    daemon.wait_for(lambda: 350 < interval_of(w) < 450, 10, 'samples every 400 ms')
    case.note('switched off and on by s.enabled')
