#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What tbagent says about a configuration, and that a broken one costs nobody a sample."""
import glob
import os
import re
import shutil
import subprocess
import time

import tap
from daemon import BIN, SLOW, TOP, children, config, options, standin, start, wait_for, write

CONFIGS = os.path.join(TOP, 'tests', 'configs')
CONFIG_ERROR = 78
SYSTEM = '  machine = { plugin = "system"; every = "200ms"; };'
COUNTER = '  counter = { plugin = "counter"; every = "100ms"; };'
PROBES = '  %s = { plugin = "onewire"; path = "/nonexistent"; sensors = { %s = { id = "28-0316a2795e%02x"; }; }; };'

# What to do about it: something to write, to take away, to choose from; or a bound that says so by itself.
REMEDY = re.compile(r'writ(e|ten)|did you mean|known here|there are|take |remove |put |give |store it|needs |wants |is missing|'
                    r'chmod|has no|is for TLS|begins with|must not be|cannot be called|is too large|more than|mend |never closed|'
                    r'this is no text', re.I)

# Mistakes that only a plugin host can see: (what, text, ((line, words), ...)), lines counted from 1.
HOSTS = (
    ('unknown option of a plugin', 'plugins = {\n  a = { plugin = "system";\n    temperatur = true; };\n};\n',
     ((3, r'temperatur is not known; did you mean "temperature"'),)),
    ('wrong type of a plugin\'s option', 'plugins = {\n  a = { plugin = "system";\n    load = "often"; };\n};\n',
     ((3, r'a\.load'),)),
    ('unknown option of a channel',
     'plugins = {\n a = { plugin = "onewire";\n  sensors = {\n   t = { id = "28-0316a2795eff"; decimal = 1; };\n };};\n};\n',
     ((4, r't\.decimal is not known; did you mean "decimals"'),)),
    ('time without a unit in an instance', 'plugins = {\n  a = { plugin = "system";\n    every = 10; };\n};\n',
     ((3, r'every.*unit'),)),
    ('rule of the wrong type',
     'plugins = {\n  a = { plugin = "system"; keys = {\n    load1 = { deadband = "much"; };\n }; };\n};\n',
     ((3, r'load1\.deadband'),)),
    ('plugin that is not there', 'plugins = {\n  a = {\n    plugin = "systen"; };\n};\n',
     ((3, r'no plugin "systen".*did you mean "system"'),)),
    ('plugin by its file', 'plugins = {\n  a = {\n    plugin = "system.so"; };\n};\n', ((3, r'without folder and \.so'),)),
    ('exec without a command', 'plugins = {\n  a = { plugin = "exec"; };\n};\n', ((2, r'command is missing'),)),
    ('exec with a command for a shell', 'plugins = {\n  a = { plugin = "exec";\n    command = "who | wc -l"; };\n};\n',
     ((3, r'a\.command is no program: write program and arguments as a list'),)),
    ('exec with a list for a shell, and an odd environment',
     'plugins = {\n  a = { plugin = "exec"; shell = true;\n    command = ["who", "am"];\n    env = ["A"]; };\n};\n',
     ((3, r'a\.command is a list'), (4, r'a\.env has one that is not written as "NAME=value"'))),
    ('i2c: a chip that is nearly known, an address as text, an odd channel',
     'plugins = {\n  a = { plugin = "i2c"; chips = {\n    t = { chip = "bme28"; };\n    u = { chip = "tmp102"; address = "0x48"; };\n'
     '    v = { chip = "sht3x"; mux = 0x70; chanel = 1; };\n  }; };\n};\n',
     ((3, r't\.chip = "bme28" is not known; did you mean "bme280".*"veml7700"'), (4, r'u\.address'),
      (5, r'chanel is not known; did you mean "channel"'))),
    ('i2c: registers and pins',
     'plugins = {\n  a = { plugin = "i2c"; chips = { t = { registers = {\n    x = { reg = 0; type = "s16"; };\n    y = { rge = 0; };\n'
     '  }; }; };\n  pins = {\n    p = { direction = "output"; pin = 0; };\n    q = { direction = "in"; };\n  }; };\n};\n',
     ((3, r'x\.type = "s16" is not known.*"s16be"'), (4, r'rge is not known; did you mean "reg"'),
      (7, r'direction = "output" is not known.*"out"'), (8, r'q\.pin is missing'))),
    ('two instances with one key', 'plugins = {\n%s\n%s\n};\n' % (PROBES % ('a', 'boiler', 1), PROBES % ('b', 'boiler', 2)),
     (((2, 3), r'key "boiler" is also made at \S+:[23]'),)),
    ('key that meets a generated one', 'plugins = {\n%s\n%s\n};\n' % (PROBES % ('a', 'door', 1), PROBES % ('b', 'door_ok', 2)),
     (((2, 3), r'key "door(_ok)?" is also made at \S+:[23]'),)),
    ('channel that is called like its instance', 'plugins = {\n%s\n};\n' % (PROBES % ('door', 'door', 1)),
     ((2, r'key "door_ok" is what the daemon tells of instance door \(\S+:2\): give this one another name'),)),
    ('channel that takes what is told of another instance',
     'plugins = {\n%s\n%s\n};\n' % (PROBES % ('a', 'b_time', 1), PROBES % ('b', 'boiler', 2)),
     ((2, r'key "b_time" is what the daemon tells of instance b \(\S+:3\)'),)),
    ('several mistakes at once',
     'plugins = {\n  a = { plugin = "system"; lod = true;\n    evry = "1s"; };\n  b = { plugin = "exec"; comand = "x"; };\n};\n',
     ((2, r'lod is not known'), (3, r'evry is not known; did you mean "every"'),
      (4, r'comand is not known; did you mean "command"'))),
)


def call(case, *arguments, **environment):
    """tbagent with these arguments: (exit code, stdout, lines of stderr)."""
    done = subprocess.run([BIN, *arguments, *options(case.folder)], capture_output=True, text=True, timeout=60 * SLOW,
                          cwd=case.folder, env=dict(os.environ, **environment))
    return done.returncode, done.stdout, done.stderr.splitlines()


def check_lines(case, name, lines):
    """Each error names file and line and says what to do. Returns the number of errors."""
    errors = 0
    for line in lines[:-1]:
        told = re.fullmatch(r'(\S+\.conf)(?::(\d+))?: (error|warning): (.+)', line)
        case.check(told, '%s: not FILE:LINE: error: TEXT: %s', name, line)
        case.check(told.group(2) or told.group(3) == 'warning', '%s: no line number: %s', name, line)
        case.check(REMEDY.search(told.group(4)), '%s: nothing that helps: %s', name, line)
        case.check('s3cret' not in line, '%s: shows a secret: %s', name, line)
        errors += told.group(3) == 'error'
    case.check(re.fullmatch(r'%d mistakes?' % errors, lines[-1]), '%s: last line %s', name, lines[-1])
    return errors


def broken(case):
    """--check: every error of the broken configurations names file and line and what to write"""
    known_usable = []
    for path in sorted(glob.glob(os.path.join(CONFIGS, '*.conf'))):
        name = os.path.basename(path)
        copy = write(os.path.join(case.folder, name), '')
        shutil.copyfile(path, copy)
        os.chmod(copy, 0o644 if name.startswith('world-readable') else 0o600)
        if os.path.isdir(path + '.d'):
            shutil.copytree(path + '.d', copy + '.d')
            for part in glob.glob(copy + '.d/*'):
                os.chmod(part, 0o600)
        code, _, lines = call(case, '--check', copy)
        if code == 0:
            known_usable.append(name)
            continue
        case.equal(code, CONFIG_ERROR, '%s: exit code' % name)
        check_lines(case, name, lines)
        case.note('%s', next(line for line in lines if ' error: ' in line).replace(case.folder + '/', ''))
    found = len(glob.glob(os.path.join(CONFIGS, '*.conf')))
    case.note('%d files refused; usable: %s', found - len(known_usable), ' '.join(known_usable))
    case.check(found - len(known_usable) >= 20, 'only %d files', found)
    case.check(set(known_usable) <= {'no-token-file.conf', 'url-port-of-tls.conf'}, 'not refused: %s', known_usable)


def plugin_mistakes(case):
    """--check: what only a plugin host can know is told with file and line too"""
    for what, text, wanted in HOSTS:
        conf = write(os.path.join(case.folder, 'host.conf'), text)
        code, out, lines = call(case, '--check', conf)
        case.equal(code, CONFIG_ERROR, '%s: exit code (%s)' % (what, lines or out))
        errors = check_lines(case, what, lines)
        for line, words in wanted:
            places = line if isinstance(line, tuple) else (line,)
            case.check(any(re.match(r'%s:%d: error: .*%s' % (re.escape(conf), p, words), seen) for p in places for seen in lines),
                       '%s: no error %r on line %s in %s', what, words, line, lines)
        case.check(errors >= len(wanted), '%s: %d errors', what, errors)
        case.note('%s: %s', what, lines[0].replace(case.folder + '/', ''))


def credentials(case):
    """--check: two sources of credentials are a mistake, also where one is a file that lies about; certificates that are missing"""
    folder = os.path.join(case.folder, 'credentials')
    os.mkdir(folder)
    token = write(os.path.join(folder, 'tbagent.token'), 's3cret\n')
    conf = write(os.path.join(case.folder, 'c.conf'), 'server = { url = "mqtt://127.0.0.1"; token_file = "%s"; };\n' % token)
    os.chmod(token, 0o600)
    case.equal(call(case, '--check', conf)[0], 0, 'exit code with one')
    code, _, lines = call(case, '--check', conf, CREDENTIALS_DIRECTORY=folder)
    case.equal(code, CONFIG_ERROR, 'exit code with two')
    case.check('two sources of credentials, server.token_file and the systemd credential tbagent.token: remove one' in lines[0],
               'it says %s', lines)
    write(conf, 'server = { url = "mqtts://127.0.0.1";\n cert = "/nonexistent/a.crt"; key = "/nonexistent/a.key"; };\n')
    code, _, lines = call(case, '--check', conf)
    case.equal((code, len(lines)), (0, 2), 'exit code and complaints without certificates')
    case.check(all(re.match(r'%s:2: warning: server\.(cert|key): \S+ is not there' % re.escape(conf), l) for l in lines),
               'it says %s', lines)


def usable(case):
    """--check and --once of a configuration without mistakes"""
    conf = write(os.path.join(case.folder, 'good.conf'), config('\n'.join([SYSTEM, COUNTER])))
    code, out, lines = call(case, '--check', conf)
    case.equal((code, lines), (0, []), 'check: exit code and complaints')
    case.check('no mistakes; 2 instances: machine (system), counter (counter)' in out, 'check says %r', out)
    far = write(os.path.join(case.folder, 'far.conf'), config(COUNTER, 'mqtt://127.0.0.1:1', telemetry='batch_interval = "90s";'))
    code, out, lines = call(case, '--check', far)
    case.equal((code, lines), (0, []), 'check with a server: exit code and complaints')
    case.check('a power cut may take the last 95 s of values' in out, 'check says %r', out)
    code, out, lines = call(case, '--once', '-c', conf)
    case.equal((code, lines), (0, []), 'once: exit code and complaints')
    rows = [line.split() for line in out.splitlines()]
    case.check({'load1', 'memory_used', 'uptime', 'count'} <= {r[1] for r in rows}, 'once prints %s', out)
    case.check(all(re.fullmatch(r'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}', ' '.join(r[-2:])) for r in rows), 'times in %s', out)
    case.note('%s', out)
    code, out, _ = call(case, '--once', 'counter', '-c', conf)
    case.equal((code, [line.split()[0] for line in out.splitlines()]), (0, ['counter']), 'once of one instance')
    code, _, lines = call(case, '--once', 'conuter', '-c', conf)
    case.check(code == 64 and 'conuter' in ' '.join(lines), 'once of one that is not there: %d %s', code, lines)


def restart(case):
    """a broken file at a restart: the last good configuration runs, and the log says so; exit 78 where there is none"""
    good, bad = config(COUNTER), config(COUNTER).replace('"100ms"', '100ms')
    first = start(case, bad)
    case.equal(first.wait(), CONFIG_ERROR, 'exit code without any good configuration')
    case.check(first.matching(r'tbagent\.conf:\d+: error: every = 100ms needs quotes'), 'the log says %s', first.lines)
    case.check(first.matching(r'no configuration to run'), 'the log says %s', first.lines)
    between = start(case, good)
    between.wait_for_line(r'^counter: running')
    between.stop()
    second = start(case, bad)
    line = second.wait_for_line(r'running on the last good configuration')
    case.check(re.search(r'because of \S+tbagent\.conf:\d+: error: every = 100ms needs quotes', line), 'the log says %s', line)
    case.note('%s', line.replace(case.folder + '/', ''))
    second.wait_for_line(r'^counter: running')
    case.check(second.stop().made > 0, 'nothing was sampled')


def reload(case):
    """SIGHUP: a broken file changes nothing and is told; a good one restarts what changed, and only that"""
    daemon = start(case, config('\n'.join([SYSTEM, COUNTER])))
    daemon.wait_for_line(r'^counter: running')
    daemon.wait_for_line(r'^machine: running')
    before = set(children(daemon.pid))
    case.equal(len(before), 2, 'processes of two instances')
    mark = daemon.mark()
    write(daemon.conf, config('\n'.join([SYSTEM, COUNTER])).replace('"system"', 'system'))
    daemon.hang_up()
    line = daemon.wait_for_line(r'the configuration was not read again', after=mark)
    case.check(re.search(r'tbagent\.conf:\d+: error: .*needs quotes', line), 'the log says %s', line)
    case.note('%s', line.replace(case.folder + '/', ''))
    case.equal(set(children(daemon.pid)), before, 'processes after a broken file')
    mark = daemon.mark()
    another = COUNTER.replace('counter =', 'another =').replace('"100ms"', '"100ms"; key = "other"')
    write(daemon.conf, config('\n'.join([SYSTEM.replace('200ms', '300ms'), COUNTER, another])))
    daemon.hang_up()
    daemon.wait_for_line(r'configuration read again', after=mark)
    daemon.wait_for_line(r'^another: running', after=mark)
    daemon.wait_for_line(r'^machine: running', after=mark)
    wait_for(lambda: len(children(daemon.pid)) == 3, 10, 'three processes')
    after = set(children(daemon.pid))
    case.equal(len(after & before), 1, 'processes that went on')
    case.check(not daemon.matching(r'^counter: (running|stopped)', after=mark), 'the unchanged instance was restarted')
    mark = daemon.mark()
    write(daemon.conf, config(COUNTER))
    daemon.hang_up()
    wait_for(lambda: set(children(daemon.pid)) == after & before, 10, 'the end of the two others')
    daemon.stop()


def reload_mends(case):
    """SIGHUP: an instance that was misconfigured for something elsewhere gets another chance, a key may move"""
    first, second = PROBES % ('p', 'boiler', 1), PROBES % ('q', 'boiler', 2)
    daemon = start(case, config('\n'.join([first, second])))
    line = daemon.wait_for_line(r'^[pq]: \S+: key "boiler" is also made at')
    wait_for(lambda: len(children(daemon.pid)) == 1, 10, 'the end of one probe')
    loser = line[0]
    mark = daemon.mark()
    mended = [first.replace('boiler', 'attic'), second] if loser == 'q' else [first, second.replace('boiler', 'attic')]
    write(daemon.conf, config('\n'.join(mended)))
    daemon.hang_up()
    daemon.wait_for_line(r'configuration read again', after=mark)
    wait_for(lambda: len(children(daemon.pid)) == 2, 10, 'both probes')
    mark = daemon.mark()
    swapped = [first, second.replace('boiler', 'attic')] if loser == 'q' else [first.replace('boiler', 'attic'), second]
    write(daemon.conf, config('\n'.join(swapped)))
    before = set(children(daemon.pid))
    daemon.hang_up()
    wait_for(lambda: len(set(children(daemon.pid)) - before) == 2, 10, 'both probes with their keys exchanged')
    time.sleep(.3)
    case.equal(daemon.matching(r'is also made at', after=mark), [], 'conflicts with what was about to end')
    daemon.stop()


def reload_connects(case):
    """SIGHUP: what was missing for a connection is tried at once, not when the next try is due"""
    _, url, token = standin(case)
    file = os.path.join(case.folder, 'the-token')
    daemon = start(case, 'server = { url = "%s"; token_file = "%s"; };\n%s' % (url, file, config(COUNTER)))
    daemon.wait_for_line(r'the-token is not there')
    write(file, token)
    daemon.hang_up()
    daemon.connected(10)
    daemon.stop()


def one_bad(case):
    """an instance with a bad part is only itself misconfigured"""
    daemon = start(case, config('\n'.join([
        COUNTER, SYSTEM.replace('every', 'evry'), '  gone = { plugin = "nosuch"; };', '  bare = { };',
        PROBES % ('p', 'boiler', 1), PROBES % ('q', 'boiler', 2)])))
    for line in (r'^machine: \S+:6: .*evry is not known', r'^gone: misconfigured: no plugin "nosuch"',
                 r':8: error: plugins\.bare\.plugin is missing',
                 r'^bare: misconfigured', r'^[pq]: \S+: key "boiler" is also made at'):
        daemon.wait_for_line(line)
        case.equal(len(daemon.matching(line)), 1, 'lines /%s/' % line)
        case.note('%s', daemon.matching(line)[0].replace(case.folder + '/', ''))
    daemon.wait_for_line(r'^counter: running')
    wait_for(lambda: len(children(daemon.pid)) == 2, 10, 'the processes of counter and of one probe')
    case.check(daemon.stop().made > 0, 'nothing was sampled')


def written_by_others(case):
    """the template of a plugin with its own configuration, and a plugin in C++"""
    template = os.path.join(TOP, 'docs', 'template', 'template.conf')
    cxx = write(os.path.join(case.folder, 'cxx.conf'), 'plugins = { cxx = { plugin = "cxx"; text = "hello"; }; };\n')
    for conf, words in ((template, ('load_now', 'up_hours')), (cxx, ('cxx_samples', 'hello'))):
        code, _, lines = call(case, '--check', conf)
        if conf == cxx and 'no plugin "cxx"' in ' '.join(lines):
            case.note('no C++ compiler was there')
            continue
        case.equal((code, lines), (0, []), 'check: exit code and complaints')
        code, out, lines = call(case, '--once', '-c', conf)
        case.equal((code, lines), (0, []), 'once: exit code and complaints')
        case.note('%s', out.rstrip())
        case.check(all(word in out for word in words), 'once prints %s', out)


def examples(case):
    """each file of examples is accepted as it is, and runs, whether its hardware is there or not"""
    files = sorted(glob.glob(os.path.join(TOP, 'etc', 'examples', '*.conf')))
    for file in files:
        name = os.path.basename(file)
        shutil.copy(file, os.path.join(case.folder, name))
        code, _, log = call(case, '--check', os.path.join(case.folder, name))
        case.check(code == 0, '%s: %s', name, log)
        if name.startswith('gpio'):
            continue        # it would drive lines of the machine, where that has them: tests/rig/guest/gpio runs it
        with open(file, encoding='utf8') as f:
            text = f.read()
        if name in ('exec.conf', 'system.conf'):    # no hardware is needed: each instance gives values
            code, out, log = call(case, '--once', '-c', os.path.join(case.folder, name))
            case.equal((code, log), (0, []), '%s: once' % name)
            case.equal({row.split()[0] for row in out.splitlines()}, set(re.findall(r'^  (\w+) = \{', text, re.M)), name)
        daemon = start(case, text)
        for instance in re.findall(r'^  (\w+) = \{', text, re.M):
            daemon.wait_for_line(r'^%s: (running|waiting)' % instance)
        case.equal(daemon.matching(r'misconfigured'), [], name)
        daemon.stop()
    together = write(os.path.join(case.folder, 'all.conf'), '')
    os.mkdir(together + '.d')
    for file in files:
        shutil.copy(file, together + '.d')
    code, _, log = call(case, '--check', together)
    case.check(code == 0, 'all of them together: %s', log)
    shown = set(re.findall(r'^ +plugin +=+ "(\w+)";', ''.join(open(f, encoding='utf8').read() for f in files), re.M))
    case.equal(shown, {os.path.basename(f) for f in glob.glob(os.path.join(TOP, 'plugins', '*')) if os.path.isdir(f)},
               'plugins that have an example')


if __name__ == '__main__':
    tap.main([written_by_others, broken, plugin_mistakes, credentials, usable, examples, restart, reload, reload_mends, reload_connects,
              one_bad], parallel=3)
