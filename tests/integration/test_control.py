#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Control over D-Bus, by tbagentctl and by callers that keep to no rule: every verb, every error, a bus that comes, goes
and hangs. Whatever is asked, sampling goes on and the loop never waits."""
import contextlib
import glob
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import xml.etree.ElementTree

import tap
from bus import CTL, ERROR, OPEN, POLICY, Bus, Caller
from daemon import SLOW, config, holes, longest_turn, settled, standin, start, wait_for
from standin import RestError

COUNTER = '  counter = { plugin = "counter"; every = "50ms"; };'
OTHERS = '\n  gone = { plugin = "nosuch"; };\n  off = { plugin = "counter"; enabled = false; };'
OK, REFUSED, USAGE, NOT_RUNNING, NOT_ALLOWED, TIMEOUT = range(6)
NOBODY = 65534


def world(case, *arguments, instances=COUNTER, **more):
    """Server, bus and a daemon that is connected to both."""
    server, url, token = standin(case, *arguments)
    bus = case.using(Bus(case, **more))
    daemon = start(case, config(instances, url, token), env=bus.env, more_options=['--log-level', 'debug'])
    daemon.connected()
    wait_for(lambda: server.count('d')['stored'] > 0, 10, 'the first value')
    wait_for(lambda: bus.ctl('request', 'getSessionLimits')[0] == OK, 10, 'bus and server')
    return server, bus, daemon


def all_well(case, server, daemon):
    """No value is missing, and the loop never waited."""
    counts = daemon.stop()
    settled(case, server, counts)
    case.equal(holes([v for _, v in server.series('d', ['count'])['count']]), [], 'missing numbers of the counter')
    longest_turn(case, counts)
    return counts


def good(case, done, what):
    case.equal((done[0], done[2]), (OK, ''), what)
    return done[1]


def one_json(case, done, what):
    """What it printed is exactly one JSON text."""
    case.check(done[1].count('\n') == 1 and done[1].endswith('\n'), '%s: not one line: %r', what, done[1])
    return json.loads(done[1])


def bad(case, bus, status, pattern, *words):
    """The same error for people on stderr, for programs as JSON."""
    done = bus.ctl(*words)
    case.equal(done[:2], (status, ''), 'exit status and output of %s (%s)' % (words, done[2]))
    case.check(re.search(pattern, done[2]), 'not /%s/: %s', pattern, done[2])
    done = bus.ctl('--json', *words)
    case.equal((done[0], done[2]), (status, ''), 'exit status and complaint of --json %s' % (words,))
    error = one_json(case, done, words)['error']
    case.check(re.search(pattern, 'tbagentctl: ' + error['message']), 'not /%s/: %s', pattern, error)
    return error['code']


# -- verbs ---------------------------------------------------------------------------------------------------------------
def status(case):
    """status: lines and a table for people, JSON for programs, live settings among them"""
    server, bus, daemon = world(case, instances=COUNTER + OTHERS)
    daemon.wait_for_line(r'^shared attributes are as the server has them', 10)     # else there is a line about them
    found = one_json(case, bus.ctl('status', '--json'), 'status')
    case.equal(sorted(found), sorted(['version', 'server', 'clock', 'values', 'store', 'instances', 'shared_attributes',
                                      'unknown_settings', 'config_error']), 'members of the status')
    case.equal([i['name'] for i in found['instances']], ['counter', 'gone', 'off'], 'instances')
    shown = good(case, bus.ctl('status'), 'status')
    case.note('%s', shown)
    for pattern in (r'^tbagent +0\.', r'^server +connected to mqtt://127\.0\.0\.1:\d+ \(MQTT 5\)$',
                    r'^values +\d+ sent, \d+ waiting$',
                    r'^INSTANCE  PLUGIN +STATE +SAMPLES +FAILED +RESTARTS +REASON$', r'^counter +counter +running +\d+ +0 +0$',
                    r'^gone +nosuch +misconfigured .*no plugin "nosuch"', r'^off +counter +disabled$'):
        case.check(re.search(pattern, shown, re.M), 'not /%s/', pattern)
    case.check(not re.search(r'^(clock|config|disk|attributes) ', shown, re.M), 'lines with nothing to say')
    server.share('d', {'counter.report.decimals': 2, 'counter.enabled': True, 'counter.key': 'other', 'nobody.every': '1s'})
    wait_for(lambda: 'report.decimals = 2 (server' in bus.ctl('status')[1], 10, 'the setting in the status')
    shown = good(case, bus.ctl('status'), 'status')
    case.note('%s', shown)
    case.check(re.search(r'^counter: report\.decimals = 2 \(server; not in the file\)$', shown, re.M), 'the setting')
    case.check(re.search(r'^counter: enabled = true \(server; file says true\)$', shown, re.M), 'the other setting')
    case.check(re.search(r'^shared attributes for instances that no file has: nobody\.every$', shown, re.M), 'unknown settings')
    case.check(re.search(r'^attributes +4 shared(, not compared with the server yet)?$', shown, re.M), 'the number of attributes')
    all_well(case, server, daemon)


def requests(case):
    """request: the server's answer, its silence, and what never gets there"""
    server, bus, daemon = world(case, '--client-rpc-timeout', '0.3')
    limits = one_json(case, bus.ctl('request', 'getSessionLimits', '{}', '--json'), 'request')
    case.equal(limits['maxPayloadSize'], 65536, 'maxPayloadSize')
    case.equal(json.loads(good(case, bus.ctl('request', 'getSessionLimits'), 'request')), limits, 'the same without params')
    error = bad(case, bus, TIMEOUT, r'has not answered in time: .*rule chain', 'request', 'nobody', '{"a":1}')
    case.equal(error, 'Timeout', 'code')
    began = time.monotonic()
    bad(case, bus, TIMEOUT, r'has not answered in time', 'request', 'nobody', '--timeout', '50ms')
    case.check(time.monotonic() - began < 5 * SLOW, 'its own time-out took %.1f s', time.monotonic() - began)
    bad(case, bus, USAGE, r'not JSON, from character 2 on.*: \{a', 'request', 'm', '{a:1}')
    for code, pattern, *words in (('BadParams', r'the params are not JSON', 'm', 'NaN'),
                                  ('BadParams', r'name is empty, or longer', 'm' * 256),
                                  ('TooLarge', r'larger than 64 KiB', 'm', json.dumps('x' * 65536)),
                                  ('TooLarge', r'larger than the server takes', 'm', json.dumps('x' * 65533))):
        case.equal(bad(case, bus, REFUSED, pattern, 'request', *words), code, 'code')
    good(case, bus.ctl('request', 'getSessionLimits', json.dumps('x' * 60000)), 'large params')
    all_well(case, server, daemon)


def attributes(case):
    """publish and attributes: what is set arrives as the type it is, and is read back"""
    server, bus, daemon = world(case)
    server.share('d', {'mode': 'eco', 'target': 21.5})
    good(case, bus.ctl('publish', 'site=roof', 'floor=3', 'wet=false', 'zip=x07', 'where={"lat":1.5}', 'note=a=b', 'nan=NaN',
                       'none=', 'day=2026-01-02'), 'publish')
    case.equal(one_json(case, bus.ctl('publish', '{"height": 2.5}', '--json'), 'publish'), True, 'what publish --json prints')
    wanted = {'site': 'roof', 'floor': 3, 'wet': False, 'zip': 'x07', 'where': {'lat': 1.5}, 'note': 'a=b', 'nan': 'NaN',
              'none': '', 'day': '2026-01-02', 'height': 2.5}
    wait_for(lambda: {k: v for k, v in server.attributes('d').items() if k in wanted} == wanted, 10, 'the attributes')
    case.equal(one_json(case, bus.ctl('attributes', '--client', 'site,where', '--shared', 'mode', '--json'), 'attributes'),
               {'client': {'site': 'roof', 'where': {'lat': 1.5}}, 'shared': {'mode': 'eco'}}, 'attributes')
    everything = one_json(case, bus.ctl('attributes', '--json'), 'attributes')
    case.equal(everything['shared'], {'mode': 'eco', 'target': 21.5}, 'shared attributes')
    case.check('tbagent_version' in everything['client'], 'client attributes: %s', everything)
    shown = good(case, bus.ctl('attributes', '--shared', 'target,mode'), 'attributes')
    case.equal(sorted(shown.splitlines()), ['shared  mode = eco', 'shared  target = 21.5'], 'for people')
    case.equal(good(case, bus.ctl('attributes', '--client', 'nothing'), 'attributes'), 'the server has none of them\n', 'none')
    server.share('d', {'evil': 'a\x1b[2J\x9bb\nc'})
    shown = good(case, bus.ctl('attributes', '--shared', 'evil'), 'attributes')
    case.equal(shown, 'shared  evil = a [2J b c\n', 'control characters')
    bad(case, bus, USAGE, r'--client wants names separated by commas', 'attributes', '--client', 'a,,b')
    bad(case, bus, USAGE, r'neither KEY=VALUE nor a JSON object: site', 'publish', 'x=1', 'site')
    bad(case, bus, USAGE, r'not JSON, from character 2 on', 'publish', '{x}')
    bad(case, bus, REFUSED, r'"{{x}}" ', 'publish', 'fine=1', '{{x}}=1')
    bad(case, bus, REFUSED, r'"gone" is null', 'publish', '{"fine":1,"gone":null}')
    case.check('fine' not in server.attributes('d'), 'a part of what was refused was taken')
    case.equal(bad(case, bus, REFUSED, r'larger than 16 KiB', 'publish', 'x=' + 'y' * 17000), 'TooLarge', 'code')
    case.equal(bad(case, bus, REFUSED, r'not allowed', 'attributes', '--client', '{{x}}'), 'BadParams', 'code')
    all_well(case, server, daemon)


def claim(case):
    """claim: acknowledged, lost with the connection; the secret is in no log"""
    server, bus, daemon = world(case)
    case.check('does not say whether' in good(case, bus.ctl('claim', 's3cret-word', '10min'), 'claim'), 'what it says')
    case.equal(user_claims(server, 's3cret-word'), 200, 'the claim of a user')
    case.equal(one_json(case, bus.ctl('claim', '--json'), 'claim'), True, 'what claim --json prints')
    case.equal(user_claims(server), 200, 'the claim without a secret')
    case.equal(user_claims(server), 400, 'a second claim')
    good(case, bus.ctl('claim', '-', '1min', input='s3cret-line\n'), 'claim with a secret from standard input')
    case.equal(user_claims(server, 's3cret-line'), 200, 'that claim')
    bad(case, bus, USAGE, r'no secret on standard input', 'claim', '-')
    bad(case, bus, USAGE, r'not a time with a unit.*: 10', 'claim', 'x', '10')
    bad(case, bus, REFUSED, r'longer than 255 bytes', 'claim', 'x' * 256)
    server.control('faults', {'drop_acks': -1})
    waits = [threading.Thread(target=lambda: lost.append(bus.ctl('claim', 's3cret-word'))) for _ in range(2)]
    lost = []
    for thread in waits:
        thread.start()
    wait_for(lambda: command_lines(r'tbagentctl.claim.\*+$') >= 2, 10, 'command lines without the secret')
    wait_for(lambda: len([e for e in server.events(event='publish') if e['what'] == 'claim']) >= 5, 10, 'the claims')
    server.control('faults/clear')
    server.control('drop', {'how': 'reset'})
    for thread in waits:
        thread.join()
    for done in lost:
        case.equal(done[0], REFUSED, 'exit status of a claim that is lost (%s)' % (done,))
        case.check('connection went before' in done[2], 'why: %s', done[2])
    case.check(not daemon.matching('s3cret'), 'the log shows the secret')
    daemon.stop()


def command_lines(pattern):
    """How many processes have such a one."""
    found = 0
    for path in glob.glob('/proc/[0-9]*/cmdline'):
        with contextlib.suppress(OSError), open(path, 'rb') as f:
            found += bool(re.search(pattern, f.read().strip(b'\0').replace(b'\0', b' ').decode('utf8', 'replace')))
    return found


def user_claims(server, secret=''):
    """What a customer's user gets who claims the device, which nobody has afterwards."""
    try:
        server.claim('d', secret)
    except RestError as e:
        return e.status
    server.unclaim('d')
    return 200


def usage(case):
    """words that are wrong: status 2, what is right, the nearest verb; neither bus nor daemon is needed"""
    bus = Bus(case, started=False)
    for pattern, *words in ((r'no verb "statsu"; did you mean "status"\?', 'statsu'),
                            (r'no verb "frobnicate"; tbagentctl help', 'frobnicate'),
                            (r'did you mean "publish"', 'publsih', 'a=1'), (r'what is to be done',),
                            (r'request METHOD', 'request'),
                            (r'request METHOD', 'request', 'a', '1', '2'), (r'status takes no arguments', 'status', 'x'),
                            (r'publish JSON \| KEY=VALUE', 'publish'), (r'claim \[SECRET\|-', 'claim', 'a', '1s', 'b'),
                            (r'not a time with a unit \("10s"\): 10', 'request', 'm', '--timeout', '10'),
                            (r'10min at most', 'request', 'm', '--timeout', '1h'),
                            (r'are for tbagentctl attributes', 'status', '--client', 'x')):
        case.equal(bad(case, bus, USAGE, pattern, *words) in ('BadParams', 'UnknownVerb'), True, 'code of %s' % words)
    done = bus.ctl('status', '--frobnicate')
    case.equal(done[:2], (USAGE, ''), 'an unknown option')
    case.check('frobnicate' in done[2] and 'tbagentctl help' in done[2], 'what it says: %s', done[2])
    shown = good(case, bus.ctl('help'), 'help')
    case.equal(shown, good(case, bus.ctl('--help'), '--help'), '--help')
    for verb in ('status', 'request', 'attributes', 'publish', 'claim', 'version', 'help'):
        case.check(re.search(r'^  %s ' % verb, shown, re.M), 'no %s in the help', verb)
    version = one_json(case, bus.ctl('version', '--json'), 'version')['version']
    case.equal(good(case, bus.ctl('version'), 'version'), 'tbagentctl %s\n' % version, 'version')
    case.equal(good(case, bus.ctl('--version'), '--version'), 'tbagentctl %s\n' % version, '--version')


def absent(case):
    """no bus, no daemon, no server: each its own status and what to do"""
    bus = case.using(Bus(case, started=False))
    case.equal(bad(case, bus, NOT_RUNNING, r'no system bus.*systemctl start tbagent', 'status'), 'NoBus', 'code')
    bus.start()
    for words in (('status',), ('request', 'm'), ('claim',), ('publish', 'a=1'), ('attributes',)):
        case.equal(bad(case, bus, NOT_RUNNING, r'does not run: systemctl start tbagent', *words), 'NotRunning', 'code')
    daemon = start(case, config(COUNTER), env=bus.env)
    bus.reachable()
    shown = good(case, bus.ctl('status'), 'status')
    for pattern in (r'^server +none is set: put server = ', r'^values +\d+ in the queue'):
        case.check(re.search(pattern, shown, re.M), 'without a server no /%s/: %s', pattern, shown)
    for words in (('request', 'm'), ('claim',), ('attributes',)):
        case.equal(bad(case, bus, REFUSED, r'no connection to the server: tbagentctl status', *words), 'NotConnected', 'code')
    good(case, bus.ctl('publish', 'a=1'), 'publish without a server')
    daemon.stop()
    case.equal(bad(case, bus, NOT_RUNNING, r'systemctl start tbagent', 'status'), 'NotRunning', 'code after it stopped')


# -- the bus -------------------------------------------------------------------------------------------------------------
def restarts(case):
    """a daemon before its bus, a bus that is started anew, one that falls silent: a line for each, found again, no value lost"""
    server, url, token = standin(case)
    bus = case.using(Bus(case, started=False))
    daemon = start(case, config(COUNTER, url, token), env=bus.env)
    daemon.connected()
    wait_for(lambda: server.count('d')['stored'] > 40, 10, 'values without a bus')
    case.equal(daemon.matching('org.tbagent1'), [], 'lines about a bus that never was')
    bus.start()
    bus.reachable(15)
    for _ in range(2):
        mark = daemon.mark()
        bus.stop()
        daemon.wait_for_line(r'org\.tbagent1 is not on the system bus.*tried again', 10, mark)
        bus.start()
        bus.reachable(15)
        daemon.wait_for_line(r'org\.tbagent1 is on the system bus', 5, mark)
        case.equal(len(daemon.matching('org.tbagent1', mark)), 2, 'lines about it')
    bus.signal(signal.SIGSTOP)
    have = server.count('d')['stored']
    wait_for(lambda: server.count('d')['stored'] > have + 40, 10, 'values while the bus hangs')
    bus.signal(signal.SIGCONT)
    bus.reachable()
    bus.signal(signal.SIGSTOP)
    all_well(case, server, daemon)
    bus.signal(signal.SIGCONT)


def silent(case):
    """a bus that takes connections and says nothing"""
    server, url, token = standin(case)
    bus = case.using(Bus(case, started=False))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(bus.path)
        listener.listen(0)
        daemon = start(case, config(COUNTER, url, token), env=bus.env)
        daemon.connected()
        wait_for(lambda: server.count('d')['stored'] > 40, 10, 'values beside a silent bus')
        all_well(case, server, daemon)


def second(case):
    """a second daemon finds the name taken, says so once, and gets it when the first one ends"""
    bus = case.using(Bus(case))
    first = start(case, config(COUNTER), env=bus.env)
    bus.reachable()
    other = os.path.join(case.folder, 'other')
    for folder in (other, os.path.join(other, 'run')):
        os.mkdir(folder)
    case.folder, before = other, case.folder
    daemon = start(case, config(COUNTER), env=bus.env)
    case.folder = before
    daemon.wait_for_line(r'another process has that name')
    first.stop()
    daemon.wait_for_line(r'org\.tbagent1 is on the system bus', 20)
    case.equal(len(daemon.matching('org.tbagent1')), 2, 'lines about it')
    daemon.stop()


def reference(case):
    """the interface is the one of the reference, method by method; the policy is valid XML"""
    _, bus, daemon = world(case)
    caller = case.using(Caller(bus))
    error, text = caller.ask('Introspect', interface='org.freedesktop.DBus.Introspectable')
    case.equal(error, '', 'Introspect')

    def methods(root):
        interface = next(i for i in root.iter('interface') if i.get('name') == 'org.tbagent1.Manager')
        return {m.get('name'): [(a.get('name'), a.get('type'), a.get('direction')) for a in m.iter('arg')]
                for m in interface.iter('method')}
    written = xml.etree.ElementTree.parse(POLICY.replace('.conf', '.xml')).getroot()
    case.equal(methods(xml.etree.ElementTree.fromstring(text)), methods(written), 'methods')
    xml.etree.ElementTree.parse(POLICY)
    daemon.stop()


# -- callers -------------------------------------------------------------------------------------------------------------
def hostile(case):
    """arguments beyond every bound: an error each, and the daemon is as before"""
    server, bus, daemon = world(case, '--client-rpc-timeout', '0.1')
    caller = case.using(Caller(bus))
    deep = '[' * 40 + ']' * 40
    for name, *arguments in (
            ('BadParams', 'Request', 'sst', '', '{}', 0), ('BadParams', 'Request', 'sst', 'm' * 256, '{}', 0),
            ('BadParams', 'Request', 'sst', 'm', deep, 0), ('BadParams', 'Request', 'sst', 'm', 'NaN', 0),
            ('BadParams', 'Request', 'sst', 'm', '1e9999', 0), ('BadParams', 'Request', 'sst', 'm', '{} {}', 0),
            ('TooLarge', 'Request', 'sst', 'm', '"%s"' % ('x' * 1000000), 0), ('Timeout', 'Request', 'sst', 'm' * 255, '{}', 1),
            ('Timeout', 'Request', 'sst', '\n"\\\x7f\u20ac', 'null', 2 ** 64 - 1),
            ('TooLarge', 'RequestAttributes', 'asast', ['x' * 4097], [], 0),
            ('TooLarge', 'RequestAttributes', 'asast', [], ['x'] * 100000, 0),
            ('BadParams', 'RequestAttributes', 'asast', ['a,b'], [], 0), ('BadParams', 'RequestAttributes', 'asast', [''], [], 0),
            ('BadParams', 'RequestAttributes', 'asast', ['x' * 300], [], 0),
            ('BadParams', 'RequestAttributes', 'asast', [], ['{{x}}'], 0),
            ('BadParams', 'Claim', 'st', 'x' * 256, 0), ('BadParams', 'Claim', 'st', 'x', 999),
            ('BadParams', 'PublishAttributes', 's', '[]'), ('BadParams', 'PublishAttributes', 's', ''),
            ('BadParams', 'PublishAttributes', 's', '{"a":%s}' % deep), ('BadParams', 'PublishAttributes', 's', '{"":1}'),
            ('BadParams', 'PublishAttributes', 's', json.dumps({'\u20ac' * 300: 1}, ensure_ascii=False)),
            ('TooLarge', 'PublishAttributes', 's', json.dumps({'k%d' % i: 0 for i in range(257)})),
            ('TooLarge', 'PublishAttributes', 's', json.dumps({'a': 'x' * 70000}))):
        error, text = caller.ask(*arguments)
        case.equal(error, ERROR + name, 'the error of %.60r (%s)' % (arguments, text))
    for arguments in (('GetStatus', 's', 'x'), ('Request', 's', 'x'), ('Claim', 'ss', 'a', 'b'), ('Frobnicate', '')):
        case.check(caller.ask(*arguments)[0].startswith('org.freedesktop.DBus.Error.'), 'a call of the wrong form')
    answers = [caller.ask('PublishAttributes', 's', json.dumps({'k%d.%d' % (i, k): k for k in range(256)}))[0] for i in range(17)]
    case.equal(answers[:15], 15 * [''], 'answers to 3840 attributes')
    case.equal(answers[16], ERROR + 'TooLarge', 'the answer where it would be more than 4096')
    case.equal(json.loads(caller.ask('GetStatus')[1])['server']['state'], 'connected', 'the server in the status')
    wait_for(lambda: server.attributes('d').get('k0.255') == 255, 20, 'the attributes')
    all_well(case, server, daemon)


def shares(case):
    """nobody gets more than his share: 16 calls for one, 48 questions in all; what is left works on"""
    server, bus, daemon = world(case)
    callers = [case.using(Caller(bus)) for _ in range(6)]
    serials = [[c.call('Request', 'sst', 'nobody', '{}', 60000000) for _ in range(40)] for c in callers]
    wait_for(lambda: sum(c.waiting(s, 0) for c, s in zip(callers, serials)) <= 48, 10, 'the answers to all others')
    waiting = [c.waiting(s, .5) for c, s in zip(callers, serials)]
    case.note('calls that wait, by caller: %s', waiting)
    case.check(max(waiting) == 16 and sum(waiting) == 48, '%d wait, of one at most %d', sum(waiting), max(waiting))
    answers = [c.answers[s] for c, own in zip(callers, serials) for s in own if s in c.answers]
    case.equal({a[0] for a in answers}, {ERROR + 'Busy'}, 'errors of the others')
    case.check(json.loads(callers[0].ask('GetStatus')[1]), 'the status')
    server.share('d', {'mode': 'eco'})
    last = case.using(Caller(bus))
    case.equal(last.ask('PublishAttributes', 's', '{"a":1}'), ('', ''), 'what asks nothing of the server')
    wait_for(lambda: json.loads(last.ask('GetStatus')[1])['shared_attributes']['count'] == 1, 10, "the daemon's own questions")
    for c in callers:
        c.socket.close()        # whoever has gone leaves nothing behind but the time-out
    case.equal(last.ask('Request', 'sst', 'nobody', '{}', 0)[0], ERROR + 'Busy', 'a question more')
    server.control('drop', {'how': 'reset'})
    wait_for(lambda: last.ask('Request', 'sst', 'getSessionLimits', '{}', 0)[0] == '', 20, 'room after the connection went')
    all_well_but_twice(case, server, daemon)


def all_well_but_twice(case, server, daemon):
    counts = daemon.stop()
    settled(case, server, counts, in_order=False)
    longest_turn(case, counts)


def crowd(case):
    """100 questions for the status and 100 to the server at once, by ten callers and by processes: sampling goes on"""
    server, bus, daemon = world(case, '--client-rpc-timeout', '0.2')
    callers = [case.using(Caller(bus)) for _ in range(10)]
    for _ in range(3):
        serials = [(c, call) for c in callers for _ in range(10)
                   for call in (c.call('GetStatus'), c.call('Request', 'sst', 'm', '{}', 5000000))]
        answers = [c.answer(s) for c, s in serials]
        states = [json.loads(text)['server']['state'] for error, text in answers if error == '']
        case.equal(states, 100 * ['connected'], 'states of the server')
        errors = [error for error, _ in answers if error]
        late, busy = errors.count(ERROR + 'Timeout'), errors.count(ERROR + 'Busy')
        case.note('of 100 questions %d timed out, %d were too many', late, busy)
        case.equal(late + busy, 100, 'questions')
        case.check(late >= 48, 'only %d were asked', late)
    everybody = [subprocess.Popen([CTL, *words, '--json'], env=dict(os.environ, **bus.env), stdout=subprocess.PIPE)
                 for words in 50 * (('status',), ('request', 'getSessionLimits'))]
    ended = [(p.communicate(timeout=60 * SLOW), p.returncode) for p in everybody]
    codes = [code for _, code in ended]
    case.note('tbagentctl: %d of 100 well, %d refused', codes.count(OK), codes.count(REFUSED))
    case.equal(codes[0::2], 50 * [OK], 'exit statuses of status')
    case.equal(set(codes[1::2]) - {OK, REFUSED}, set(), 'exit statuses of request')
    for (out, _), code in ended:
        case.check(code == OK or json.loads(out)['error']['code'] == 'Busy', 'an error: %s', out)
    all_well(case, server, daemon)


def stop(case):
    """calls that wait when the daemon stops, or goes to another server, are told so; it stops in time"""
    server, bus, daemon = world(case)
    caller = case.using(Caller(bus))
    serials = [caller.call('Request', 'sst', 'nobody', '{}', 60000000) for _ in range(5)]
    case.equal(caller.waiting(serials, .5), 5, 'calls that wait')
    with open(daemon.conf, encoding='utf8') as f:
        text = f.read()
    with open(daemon.conf, 'w', encoding='utf8') as f:
        f.write(text.replace('mqtt://127.0.0.1', 'mqtt://localhost'))
    daemon.hang_up()
    case.equal([caller.answer(s)[0] for s in serials], 5 * [ERROR + 'NotConnected'], 'calls when the server changed')
    wait_for(lambda: caller.ask('Request', 'sst', 'getSessionLimits', '{}', 0)[0] == '', 20, 'the server')
    server.control('faults', {'drop_acks': -1})
    serials = [caller.call('Request', 'sst', 'nobody', '{}', 60000000) for _ in range(5)] + [caller.call('Claim', 'st', 'x', 0)]
    case.equal(caller.waiting(serials, .5), 6, 'calls that wait')
    daemon.stop()
    answers = [caller.answer(s) for s in serials]
    case.equal({error for error, _ in answers}, {ERROR + 'NotConnected'}, 'calls when it stopped')
    case.check(all('being stopped' in text for _, text in answers), 'why: %s', answers)


def strangers(case, by):
    """who is neither root nor of our group may look, not touch: by the policy of %s"""
    policy = OPEN if by == 'the daemon' else ''
    if os.getuid() != 0:
        raise tap.Skipped('needs root, to be somebody else')
    server, bus, daemon = world(case, policy=policy)
    program = shutil.copy(CTL, os.path.join(case.folder, 'tbagentctl'))
    os.chmod(bus.path, 0o666)

    def as_user(*words, user=NOBODY, group=NOBODY, groups=()):
        done = subprocess.run([program, *words], env=dict(os.environ, **bus.env), user=user, group=group, extra_groups=groups,
                              capture_output=True, text=True, timeout=60 * SLOW)
        return done.returncode, done.stdout, done.stderr
    case.check('connected to' in good(case, as_user('status'), 'status of a stranger'), 'status')
    for words in (('claim', 'x'), ('request', 'getSessionLimits'), ('attributes',), ('publish', 'a=1')):
        done = as_user(*words)
        case.equal(done[:2], (NOT_ALLOWED, ''), 'a stranger: %s (%s)' % (words, done[2]))
        case.check('sudo adduser nobody tbagent' in done[2], 'what it says: %s', done[2])
    case.equal(json.loads(as_user('claim', '--json')[1])['error']['code'], 'AccessDenied', 'code')
    if policy:      # the bus lets everybody through: the daemon's own check is by its own group
        good(case, as_user('request', 'getSessionLimits', groups=[os.getgid()]), 'a member of the group')
        good(case, as_user('request', 'getSessionLimits', group=os.getgid()), 'a process of the group')
        caller = case.using(Caller(bus))
        case.equal(caller.ask('Claim', 'st', 'x', 0), ('', ''), 'root')
    case.equal([e for e in server.events(event='publish') if e['what'] == 'claim'][bool(policy):], [], 'claims of strangers')
    all_well(case, server, daemon)


if __name__ == '__main__':
    tap.main([status, requests, attributes, claim, usage, absent, restarts, silent, second, reference, hostile, shares, crowd,
              stop, (strangers, 'the bus'), (strangers, 'the daemon')], parallel=3)
