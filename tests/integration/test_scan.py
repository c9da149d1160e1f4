#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tbagent --scan: what plugins find becomes a configuration that runs, and what they do wrong costs only themselves. What
tbagent --options prints of their tables."""
import json
import os
import re
import subprocess
import time

import tap
from daemon import BIN, SLOW, config, options, write

UNAVAILABLE, USAGE, SOFTWARE = 69, 64, 70
POINT = {'group': 'points', 'options': 'bus = 1;'}
GOOD = [dict(POINT, id='p1', what='the first', config='p1 = { value = 1.5; };'),
        dict(POINT, id='p2', what='the second', config='p2 = { value = -2; };'),
        dict(POINT, id='p3', what='for people', config='p3 = { value = 3; };', commented=True),
        {'id': 'p4', 'what': 'held by another program'}]


def call(case, *arguments, scan=()):
    """tbagent with these arguments, where the plugin scan finds these: (exit code, stdout, lines of stderr)."""
    text = '\n'.join(thing if isinstance(thing, str) else json.dumps(thing) for thing in scan)
    done = subprocess.run([BIN, *arguments, *options(case.folder)], capture_output=True, text=True, timeout=120 * SLOW,
                          cwd=case.folder, env=dict(os.environ, TBAGENT_SCAN=text))
    return done.returncode, done.stdout, done.stderr.splitlines()


def table(out):
    """{id: what} of the lines of a plugin."""
    return dict(re.findall(r'^#   scan +(\S+)  +(.*)$', out, re.M))


def values(out):
    """{key: value} of what --once prints."""
    rows = [row.split() for row in out.splitlines()]
    return {row[1]: row[2] for row in rows if not row[1].endswith('_ok')}


def runs(case):
    """what is found is a table and a configuration, which --check accepts and which runs as it is"""
    conf = write(os.path.join(case.folder, 'tbagent.conf'), config(''))
    code, out, lines = call(case, '--scan', 'scan', '-c', conf, scan=GOOD)
    case.equal((code, lines), (0, []), 'exit code and complaints')
    case.note('%s', out)
    case.equal(table(out), {thing['id']: thing['what'] for thing in GOOD}, 'the table')
    os.mkdir(conf + '.d')
    write(os.path.join(conf + '.d', 'found.conf'), out)
    code, out, lines = call(case, '--check', conf)
    case.equal((code, lines), (0, []), 'check: exit code and complaints')
    code, out, lines = call(case, '--once', '-c', conf)
    case.equal((code, lines), (0, []), 'once: exit code and complaints')
    case.equal(values(out), {'p1': '1.5', 'p2': '-2.0'}, 'values')


def beside(case):
    """an instance that is there already keeps its name"""
    conf = write(os.path.join(case.folder, 'tbagent.conf'), config('  scan = { plugin = "scan"; bus = 2; points = { q = { }; }; };'))
    code, out, lines = call(case, '--scan', 'scan', '-c', conf, scan=GOOD)
    case.equal((code, lines), (0, []), 'exit code and complaints')
    case.check('  scan_2 = {\n' in out, 'its name in %s', out)
    os.mkdir(conf + '.d')
    write(os.path.join(conf + '.d', 'found.conf'), out)
    code, out, lines = call(case, '--once', '-c', conf)
    case.equal((code, lines), (0, []), 'once: exit code and complaints')
    case.equal(sorted(values(out)), ['p1', 'p2', 'q'], 'keys')


def again(case):
    """what is read already is a comment that says by whom, so that a second scan can be saved beside the first"""
    conf = write(os.path.join(case.folder, 'tbagent.conf'),
                 config('  mine = { plugin = "scan"; bus = 1; points = { own = { value = -2; }; }; };'))
    code, out, lines = call(case, '--scan', 'scan', '-c', conf, scan=GOOD[:2])
    case.equal((code, lines), (0, []), 'exit code and complaints')
    case.equal(table(out), {'p1': 'the first', 'p2': 'the second; read by mine already'}, 'the table')
    os.mkdir(conf + '.d')
    write(os.path.join(conf + '.d', 'found.conf'), out)
    code, out, lines = call(case, '--scan', 'scan', '-c', conf, scan=GOOD[:2])
    case.equal((code, lines), (0, []), 'exit code and complaints of the second')
    case.equal(table(out), {'p1': 'the first; read by scan already', 'p2': 'the second; read by mine already'}, 'the second table')
    case.check('/etc/tbagent.conf.d/found-2.conf it runs' in out, 'where to, in %s', out)
    write(os.path.join(conf + '.d', 'found-2.conf'), out)
    code, out, lines = call(case, '--check', conf)
    case.equal((code, lines), (0, []), 'check: exit code and complaints')
    code, out, lines = call(case, '--once', '-c', conf)
    case.equal((code, sorted(values(out))), (0, ['own', 'p1']), 'once: exit code and keys')


def failures(case):
    """a plugin that fails, crashes, hangs or talks nonsense gets a line, and what it found before is printed"""
    nonsense = {'id': 'x' * 65, 'what': 'too long'}
    for thing, code, line in (
            ('fail no bus: switch it on', UNAVAILABLE, 'tbagent: scan: no bus: switch it on'),
            ('fail', UNAVAILABLE, 'tbagent: scan: No such device'),
            ('warn bus 2: no rights', UNAVAILABLE, 'tbagent: scan: bus 2: no rights'),
            ('fail ' + 'why ' * 100, UNAVAILABLE, 'tbagent: scan: why why '),
            ('crash', SOFTWARE, 'tbagent: scan: the plugin host ended: crashed (SIGABRT)'),
            ('hang', SOFTWARE, 'tbagent: scan: the plugin host ended: hung in a call, killed (timeout)'),
            (nonsense, SOFTWARE, 'tbagent: scan: told of something that is of no use: its "id"'),
            (dict(GOOD[0], config='p9 = { valeu = 1; };'), SOFTWARE, 'tbagent: scan: line 14 of what it found is no configuration: '
             'plugins.scan.points.p9.valeu is not known; did you mean "value"'),
            (dict(GOOD[0], id='again'), SOFTWARE, 'tbagent: line 14 of what was found is no configuration: p1 is set twice'),
            (dict(GOOD[0], config='}; server = { url = "mqtt://x";'), SOFTWARE, 'tbagent: scan: told of something')):
        seen, out, lines = call(case, '--scan', 'scan', scan=GOOD[:1] + [thing])
        case.check(len(lines) == 1 and lines[0].startswith(line), '%s: %s', thing, lines)
        case.equal(seen, code, 'exit code of %s' % (thing,))
        case.equal(table(out).get('p1'), 'the first', 'what was found before %s' % (thing,))
        case.note('%d: %s', seen, lines[0][:120])


def bounded(case):
    """a plugin that finds without end is cut off"""
    many = [{'id': 'n%d' % n, 'what': 'one of many'} for n in range(2100)]
    code, out, lines = call(case, '--scan', 'scan', scan=many)
    case.equal((code, len(table(out))), (SOFTWARE, 2000), 'exit code, things')
    case.equal(lines, ['tbagent: scan: more than 2000 things were found; the rest is left out'], 'complaints')


def everybody(case):
    """all plugins that are installed are asked, each in a host of its own: those that cannot be loaded are named"""
    began = time.monotonic()
    code, out, lines = call(case, '--scan', scan=GOOD)
    case.note('%.1f s; %s', time.monotonic() - began, lines)
    case.equal(code, SOFTWARE, 'exit code')
    case.equal(table(out), {thing['id']: thing['what'] for thing in GOOD}, 'the table')
    for name in ('new-size', 'no-symbol', 'wrong-abi', 'wrong-name'):
        case.equal(len([line for line in lines if line.startswith('tbagent: %s: ' % name)]), 1, 'lines about %s' % name)
    case.check(re.search(r'^#   ok +1 +nothing$', out, re.M), 'no line of ok in %s', out)
    code, out, lines = call(case, '--scan', 'scann')
    case.check(code == USAGE and 'did you mean "scan"' in lines[0], 'of one that is not there: %d %s', code, lines)
    code, out, lines = call(case, '--scan', 'scan')
    case.equal((code, out, lines), (0, '# What tbagent --scan found:\n#\n#   nothing\n', []), 'of nothing')


def tables(case):
    """--options: what may be written, for one plugin and for all; those that cannot be loaded are named"""
    code, out, lines = call(case, '--options', 'gpio')
    case.equal((code, lines), (0, []), 'exit code and complaints')
    case.note('%s', out)
    for part in ('gpio - inputs', '\n  lines = { KEY = { ... }; ... }\n', '\n      debounce = time, up to 1min\n', 'Required.',
                 'Default: "0s". May be changed while', '\n      direction = "in" | "out"\n', '\n  INSTANCE.CHANNEL.set_total\n'):
        case.check(part in out, 'no %r', part)
    case.check(all(len(line) <= 100 for line in out.splitlines()), 'a line is too long')
    code, out, lines = call(case, '--options')
    case.equal(code, SOFTWARE, 'exit code of all')
    for name in ('bad-table', 'no-symbol', 'wrong-abi', 'wrong-name'):
        case.equal(len([line for line in lines if '/%s.so: ' % name in line]), 1, 'lines about %s' % name)
    for name in ('exec', 'gpio', 'i2c', 'onewire', 'scan', 'system'):
        case.check(re.search(r'^%s - ' % name, out, re.M), 'no %s in %s', name, out)
    code, out, lines = call(case, '--options', 'gpoi')
    case.check((code, out) == (USAGE, '') and 'did you mean "gpio"' in lines[0], 'of one that is not there: %d %s', code, lines)


if __name__ == '__main__':
    tap.main([runs, beside, again, failures, bounded, everybody, tables], parallel=3)
