#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a plugin has kept by fd_keep(): it is there again whatever ended the processes, and outputs get their on_exit values when
nobody comes to drive them, in time and only then. systemd's part is played by manager.py, outputs by the plugin `keeper`."""
import json
import os
import signal
import subprocess
import time

import tap
from daemon import BIN, NO_BUS, SLOW, children, config, is_alive, options, standin, start, wait_for, write
from jobs import Jobs
from manager import Manager

AFTER = 1           # on_exit_after
WITHIN = AFTER + 1  # and the outputs have their values


def instance(name='io', outputs='a b', more='', on_exit='off'):
    maps = ' '.join('%s = { on_exit = "%s"; };' % (o, on_exit) for o in outputs.split())
    return '  %s = { plugin = "keeper"; every = "100ms"; outputs = { %s }; %s };' % (name, maps, more)


def begin(case, instances=None, **more):
    manager = case.using(Manager(case))
    daemon = start(case, config(instances or instance()), manager=manager, **more)
    daemon.wait_for_line(r'^io: running')
    wait_for(lambda: {'io.a', 'io.b'} <= set(manager.names()), 10, 'kept descriptors')
    return manager, daemon


def use(manager):
    """Gives the outputs a text that nobody else does: what it is replaced by tells who came."""
    for name in manager.names():
        manager.write(name, 'in use')


def texts(manager, *names):
    return [manager.text('io.' + n) for n in names]


def when(daemon, pattern, after=0):
    """The time of the first such line."""
    line = daemon.wait_for_line(pattern, after=after)
    with daemon.news:
        return daemon.seen[daemon.lines.index(line, after)]


def in_time(case, took, least=AFTER):
    case.note('on_exit after %.2f s', took)
    case.check(took >= least, 'before its time: %.2f s', took)
    if SLOW == 1:
        case.check(took < WITHIN, 'too late: %.2f s', took)


def kill_host(daemon):
    host, = children(daemon.pid)
    os.kill(host, signal.SIGKILL)


def began_at(pid):
    with open('/proc/%d/stat' % pid, encoding='utf8') as f:
        return int(f.read().rpartition(')')[2].split()[19])


def held(case, manager, daemon, after=0, names='ab'):
    """The outputs are as they were, and the process that runs now has taken them."""
    case.equal(texts(manager, *names), ['in use'] * len(names), 'outputs')
    case.equal(daemon.matching(r'exit state|initial|close', after), [], 'lines of the log')


def host_crashes(case):
    """kill -9 of the host: the next one takes what was kept, no output moves"""
    manager, daemon = begin(case, instance(more='on_exit_after = "10s";'))      # the second restart is not at once
    use(manager)
    for _ in range(3):
        mark = daemon.mark()
        kill_host(daemon)
        daemon.wait_for_line(r'^io: running', after=mark, seconds=20)
        held(case, manager, daemon, mark)
    case.equal(manager.names(), ['io.a', 'io.b'], 'what systemd keeps')
    daemon.stop()


def daemon_crashes(case):
    """kill -9 of the daemon: the next one gets what was kept from systemd, no output moves"""
    manager, daemon = begin(case)
    use(manager)
    for _ in range(3):
        daemon.process.kill()
        daemon.process.wait()
        daemon = start(case, None, conf=daemon.conf, manager=manager)
        daemon.wait_for_line(r'^io: running')
        held(case, manager, daemon)
        case.equal(manager.names(), ['io.a', 'io.b'], 'what systemd keeps')
    daemon.stop()


def stops(case):
    """an orderly stop sets outputs within close(), and nothing stays kept"""
    manager, daemon = begin(case)
    daemon.stop()
    for name in 'ab':
        case.check(daemon.matching(r'^io: %s is off \(close\)' % name), '%s was not set', name)
    case.equal(daemon.matching('exit state'), [], 'lines of another process')
    wait_for(lambda: not manager.names(), 5, 'an empty store')
    case.equal(os.listdir(os.path.join(case.folder, 'run', 'kept')), [], 'records')


def restart_or_stop(case):
    """SIGTERM is a restart where systemd has such a job, and then no output moves; else it is a stop, and why is told"""
    jobs = case.using(Jobs(case))
    manager, daemon = begin(case, env=jobs.env)
    use(manager)
    for times in range(2):
        jobs.type = 'restart'
        mark = daemon.mark()
        daemon.stop()
        held(case, manager, daemon, mark)
        case.equal((manager.names(), jobs.asked), (['io.a', 'io.b'], times + 1), 'what systemd keeps, questions')
        case.check(daemon.matching('starts it again: outputs stay as they are'), 'says nothing of it')
        daemon = start(case, None, conf=daemon.conf, manager=manager, env=jobs.env)
        daemon.wait_for_line(r'^io: running')
        held(case, manager, daemon)
    for kind in ('stop', None, 'error'):
        jobs.type = kind
        daemon.stop()
        case.equal(len(daemon.matching(r'is off \(close\)')), 2, 'outputs set')
        case.equal(manager.names(), [], 'what systemd keeps')
        case.equal(len(daemon.matching('cannot be found out')), kind == 'error', 'lines of what went wrong')
        if kind != 'error':
            daemon = start(case, None, conf=daemon.conf, manager=manager, env=jobs.env)
            daemon.wait_for_line(r'^io: running')
            wait_for(lambda: manager.names() == ['io.a', 'io.b'], 5, 'kept descriptors')


def close_leaves(case):
    """outputs that close() leaves alone at a stop are set by another process"""
    manager, daemon = begin(case, instance(more='leave = true;'))
    counts = daemon.stop()
    for name in 'ab':
        case.check(daemon.matching(r'^io: %s is off \(exit state\)' % name), '%s was not set', name)
    case.equal((manager.names(), counts.dropped), ([], 0), 'what systemd keeps, values dropped')


def close_hangs(case):
    """a close() that hangs at a stop is ended, and the outputs are set within the two seconds all the same"""
    manager, daemon = begin(case, instance(more='hang = true;'))
    daemon.stop()
    for name in 'ab':
        case.check(daemon.matching(r'^io: %s is off \(exit state\)' % name), '%s was not set', name)
    case.equal(manager.names(), [], 'what systemd keeps')


def not_back(case):
    """a host that crashes again and again: outputs are set in time, once, and taken by the one that comes at last"""
    flag = os.path.join(case.folder, 'crash')
    manager, daemon = begin(case, instance(more='crash = "%s";' % flag))
    use(manager)
    write(flag, '')
    mark = daemon.mark()
    kill_host(daemon)
    began = when(daemon, r'^io: backoff', mark)
    in_time(case, when(daemon, r'^io: b is off \(exit state\)', mark) - began)
    case.equal(texts(manager, 'a', 'b'), ['off', 'off'], 'outputs')
    crashes = len(daemon.matching(r'^io: backoff: crashed', mark))
    wait_for(lambda: len(daemon.matching(r'^io: backoff: crashed', mark)) > crashes + 1, 40, 'further crashes')
    case.equal(len(daemon.matching(r'is off \(exit state\)', mark)), 2, 'times that they were set')
    os.unlink(flag)
    daemon.wait_for_line(r'^io: running', after=mark, seconds=90)
    case.equal((texts(manager, 'a', 'b'), daemon.matching('initial', mark)), (['off', 'off'], []), 'outputs, lines')
    daemon.stop()


def daemons_fail(case):
    """daemons that end one after the other before the host is back: ten seconds of that, and outputs get their on_exit values"""
    flag = os.path.join(case.folder, 'crash')
    manager, daemon = begin(case, instance(more='crash = "%s"; on_exit_after = "5s";' % flag))
    use(manager)
    write(flag, '')
    daemons, began = 0, None
    while texts(manager, 'a', 'b') != ['off', 'off']:
        case.check(daemons < 30, 'they stay as they were')
        daemon.process.kill()
        daemon.process.wait()
        daemon = start(case, None, conf=daemon.conf, manager=manager)
        began = began or time.monotonic()
        daemons += 1
        dies = time.monotonic() + 1
        while texts(manager, 'a', 'b') != ['off', 'off'] and time.monotonic() < dies:
            time.sleep(.02)
    took = time.monotonic() - began
    case.note('after %.1f s and %d daemons', took, daemons)
    case.check(daemons > 2 and took > 9, 'too early')
    os.unlink(flag)
    daemon.wait_for_line(r'^io: running', seconds=90)
    daemon.stop()


def away_since(case, usec):
    """In the record of io, when its process was last seen: CLOCK_BOOTTIME."""
    path = os.path.join(case.folder, 'run', 'kept', 'io')
    with open(path, 'rb') as f:
        magic, line, settings = f.read().split(b'\n', 2)
    after, _, plugin = line.split()
    with open(path, 'wb') as f:
        f.write(b'\n'.join((magic, b' '.join((after, b'%d' % usec, plugin)), settings)))


def overdue(case):
    """outputs that nobody has driven for too long are set by a daemon that can do nothing else, and before all else"""
    manager, daemon = begin(case)
    use(manager)
    daemon.process.kill()
    daemon.process.wait()
    away_since(case, 1)
    good = os.path.join(case.folder, 'state', 'last-good.conf')
    text = open(daemon.conf, encoding='utf8').read()
    write(daemon.conf, '{')
    os.rename(good, good + '.aside')
    failing = start(case, None, conf=daemon.conf, manager=manager)
    case.equal(failing.wait(), 78, 'exit code')
    case.equal((texts(manager, 'a', 'b'), manager.names()), (['off', 'off'], ['io.a', 'io.b']), 'outputs')
    use(manager)
    away_since(case, 1)
    daemon = start(case, text, manager=manager)
    daemon.wait_for_line(r'^io: running')
    case.equal(texts(manager, 'a', 'b'), ['off', 'off'], 'outputs')
    first = daemon.lines.index(daemon.wait_for_line(r'^io: b is off \(exit state\)'))
    case.equal(daemon.matching(r'initial'), [], 'lines')
    case.check(first < daemon.lines.index(daemon.wait_for_line(r'^io: running')), 'not before the instance')
    daemon.stop()


def stopped_while_it_starts(case):
    """SIGTERM before the daemon is there: it ends as from any other stop, and leaves no output as it is"""
    linger = os.path.join(case.folder, 'linger')
    manager, daemon = begin(case, instance(more='linger = "%s"; linger_at = "b";' % linger))
    use(manager)
    daemon.process.kill()
    daemon.process.wait()
    away_since(case, 1)
    write(linger, '')
    daemon = start(case, None, conf=daemon.conf, manager=manager)
    wait_for(lambda: os.path.getsize(linger) > 0, 20, 'the other process')
    case.equal(texts(manager, 'a', 'b'), ['off', 'in use'], 'outputs')
    outputs = [os.dup(fd) for _, fd in manager.kept]
    daemon.process.send_signal(signal.SIGTERM)
    os.unlink(linger)
    case.equal(daemon.wait(), 0, 'exit code')
    case.equal((manager.names(), [os.pread(fd, 100, 0) for fd in outputs]), ([], [b'off', b'off']), 'what systemd keeps, outputs')
    for fd in outputs:
        os.close(fd)


def back_meanwhile(case):
    """a host that comes back while another process is about to set its outputs: that one is ended, no output moves"""
    crash, linger = os.path.join(case.folder, 'crash'), os.path.join(case.folder, 'linger')
    manager, daemon = begin(case, instance(more='crash = "%s"; linger = "%s";' % (crash, linger)))
    use(manager)
    write(crash, '')
    write(linger, '')
    mark = daemon.mark()
    kill_host(daemon)
    wait_for(lambda: os.path.getsize(linger) > 0, 20, 'the other process')
    os.unlink(crash)
    daemon.wait_for_line(r'^io: running', after=mark, seconds=90)
    case.equal(texts(manager, 'a', 'b'), ['in use', 'in use'], 'outputs')
    case.equal(daemon.matching(r'initial|no longer uses|is off', mark), [], 'lines')
    case.equal(manager.names(), ['io.a', 'io.b'], 'what systemd keeps')
    daemon.stop()


def gone_meanwhile(case):
    """a process that goes while another one sets what it has left: what it drove is set as well"""
    gone, linger = os.path.join(case.folder, 'absent'), os.path.join(case.folder, 'linger')
    more = 'absent = "%s"; linger = "%s"; linger_at = "b";' % (gone, linger)
    manager, daemon = begin(case, instance(more=more))
    use(manager)
    write(linger, '')
    mark = reload(case, daemon, instance(outputs='a', more=more))
    daemon.wait_for_line(r'^io: running', after=mark)
    wait_for(lambda: os.path.getsize(linger) > 0, 20, 'the other process')
    write(gone, '')      # its hardware is not there for the next one
    first, _ = sorted(children(daemon.pid), key=began_at)
    os.kill(first, signal.SIGKILL)
    daemon.wait_for_line(r'^io: is not back after', after=mark)
    case.equal(texts(manager, 'a', 'b'), ['in use', 'in use'], 'outputs')
    os.unlink(linger)
    daemon.wait_for_line(r'^io: a is off \(exit state\)', after=mark)
    case.equal(texts(manager, 'a', 'b'), ['off', 'off'], 'outputs')
    os.unlink(gone)
    daemon.wait_for_line(r'^io: running', after=daemon.mark(), seconds=90)
    daemon.stop()


def daemon_crashes_meanwhile(case):
    """kill -9 of the daemon while another process is about to set outputs: the next one has them set"""
    crash, linger = os.path.join(case.folder, 'crash'), os.path.join(case.folder, 'linger')
    manager, daemon = begin(case, instance(more='crash = "%s"; linger = "%s"; linger_at = "b";' % (crash, linger)))
    use(manager)
    write(crash, '')
    write(linger, '')
    kill_host(daemon)
    wait_for(lambda: os.path.getsize(linger) > 0, 20, 'the other process')
    case.equal(texts(manager, 'a', 'b'), ['off', 'in use'], 'outputs')
    others = children(daemon.pid)
    daemon.process.kill()
    daemon.process.wait()
    wait_for(lambda: not any(map(is_alive, others)), 5, 'the end of its processes')
    os.unlink(linger)
    daemon = start(case, None, conf=daemon.conf, manager=manager)
    daemon.wait_for_line(r'^io: b is off \(exit state\)')
    case.equal((texts(manager, 'a', 'b'), manager.names()), (['off', 'off'], ['io.a', 'io.b']), 'outputs')
    os.unlink(crash)
    daemon.wait_for_line(r'^io: running', seconds=90)
    daemon.stop()


def absent(case):
    """hardware that is not there for the next host: outputs are set in time and stay kept"""
    flag = os.path.join(case.folder, 'absent')
    manager, daemon = begin(case, instance(more='absent = "%s";' % flag))
    use(manager)
    write(flag, '')
    mark = daemon.mark()
    kill_host(daemon)
    began = when(daemon, r'^io: backoff', mark)
    in_time(case, when(daemon, r'^io: b is off \(exit state\)', mark) - began)
    os.unlink(flag)
    daemon.wait_for_line(r'^io: running', after=mark, seconds=30)
    case.equal(manager.names(), ['io.a', 'io.b'], 'what systemd keeps')
    case.equal(texts(manager, 'a', 'b'), ['off', 'off'], 'outputs')
    daemon.stop()


def reload(case, daemon, text):
    mark = daemon.mark()
    write(daemon.conf, config(text))
    daemon.hang_up()
    daemon.wait_for_line(r'^configuration read again|^the configuration was not', after=mark)
    return mark


def neighbour_changes(case):
    """a reload that changes a neighbour does not touch it; one that changes it takes no output with it"""
    manager, daemon = begin(case, instance() + instance('next', 'c'))
    use(manager)
    wait_for(lambda: 'next.c' in manager.names(), 10, 'the neighbour')
    mark = reload(case, daemon, instance() + instance('next', 'c d'))
    daemon.wait_for_line(r'^next: running', after=mark)
    held(case, manager, daemon, daemon.mark())
    case.equal(daemon.matching(r'^io: ', mark), [], 'lines of the instance that did not change')
    mark = reload(case, daemon, instance(outputs='a b e') + instance('next', 'c d'))
    daemon.wait_for_line(r'^io: running', after=mark)
    wait_for(lambda: manager.names() == ['io.a', 'io.b', 'io.e', 'next.c', 'next.d'], 5, 'what systemd keeps')
    case.equal(texts(manager, 'a', 'b', 'e'), ['in use', 'in use', 'on'], 'outputs')
    case.equal(daemon.matching(r'exit state|close', mark), [], 'outputs that were set')
    daemon.stop()


def output_removed(case):
    """an output that a reload takes away is set as the old configuration said, and given free"""
    manager, daemon = begin(case, instance(on_exit='old'))
    use(manager)
    mark = reload(case, daemon, instance(outputs='a', on_exit='new'))
    daemon.wait_for_line(r'^io: b is old \(exit state\)', after=mark)
    wait_for(lambda: manager.names() == ['io.a'], 5, 'the end of what systemd keeps')
    case.equal(texts(manager, 'a'), ['in use'], 'output')
    case.check(daemon.matching(r'^io: a is driven by somebody', mark), 'the other one')
    daemon.stop()
    case.check(daemon.matching(r'^io: a is new \(close\)', mark), 'the new configuration')


def misconfigured(case):
    """a reload that makes it misconfigured: the outputs are set as the old one said, and stay kept for the next"""
    manager, daemon = begin(case, instance(on_exit='old'))
    use(manager)
    mark = reload(case, daemon, instance(on_exit='low'))
    daemon.wait_for_line(r'^io: .*tbagent.conf:\d+: plugins.io.outputs.a.on_exit = "low" is no level: write "off"', after=mark)
    daemon.wait_for_line(r'^io: b is old \(exit state\)', after=mark)
    case.equal((texts(manager, 'a', 'b'), manager.names()), (['old', 'old'], ['io.a', 'io.b']), 'outputs')
    use(manager)
    mark = reload(case, daemon, instance(on_exit='new'))
    daemon.wait_for_line(r'^io: running', after=mark)
    held(case, manager, daemon, mark)
    daemon.stop()


def instance_removed(case):
    """an instance that a reload removes or disables ends finally: its outputs are set and given free"""
    manager, daemon = begin(case, instance() + instance('next', 'c'))
    wait_for(lambda: 'next.c' in manager.names(), 10, 'the neighbour')
    mark = reload(case, daemon, instance())
    daemon.wait_for_line(r'^next: c is off \(close\)', after=mark)
    wait_for(lambda: manager.names() == ['io.a', 'io.b'], 5, 'the end of what systemd keeps')
    mark = reload(case, daemon, instance(more='enabled = false;'))
    daemon.wait_for_line(r'^io: b is off \(close\)', after=mark)
    wait_for(lambda: not manager.names(), 5, 'the end of what systemd keeps')
    daemon.stop()


def other_plugin(case):
    """an instance that becomes one of another plugin hands nothing over"""
    manager, daemon = begin(case)
    mark = reload(case, daemon, '  io = { plugin = "counter"; every = "100ms"; };')
    daemon.wait_for_line(r'^io: b is off \(close\)', after=mark)
    wait_for(lambda: not manager.names(), 5, 'the end of what systemd keeps')
    daemon.wait_for_line(r'^io: running', after=mark)
    daemon.stop()


def changed_meanwhile(case):
    """configuration changed while the daemon was away: what is gone from it is set as it was driven, the rest goes on"""
    manager, daemon = begin(case, instance(on_exit='old') + instance('next', 'c', on_exit='old'))
    wait_for(lambda: 'next.c' in manager.names(), 10, 'the neighbour')
    use(manager)
    daemon.process.kill()
    daemon.process.wait()
    pipe = os.pipe()
    manager.keep('stored', pipe[0])
    manager.keep('io.b.a b', pipe[1])
    daemon = start(case, config(instance(outputs='a', on_exit='new')), manager=manager)
    daemon.wait_for_line(r'^io: b is old \(exit state\)')
    daemon.wait_for_line(r'^next: c is old \(exit state\)')
    for name in ('stored', 'io.b.a b'):
        daemon.wait_for_line(r'descriptor "%s" that is none of ours' % name)
    wait_for(lambda: manager.names() == ['io.a'], 5, 'the end of what systemd keeps')
    case.equal(texts(manager, 'a'), ['in use'], 'output')
    daemon.stop()


def too_many(case):
    """no more than 64 are kept, which is told; the rest works without"""
    manager, daemon = begin(case, instance(outputs=' '.join('a b'.split() + ['o%d' % i for i in range(68)])))
    daemon.wait_for_line(r'^io: "o62" cannot be kept, so that a crash moves it: 64 descriptors are')
    case.equal(len(daemon.matching('cannot be kept')), 1, 'lines')
    wait_for(lambda: len(manager.names()) == 64, 5, '64 of them')
    outputs = [os.dup(fd) for _, fd in manager.kept]
    daemon.stop()
    case.equal((manager.names(), {os.pread(fd, 100, 0) for fd in outputs}), ([], {b'off'}), 'what systemd keeps, outputs')
    for fd in outputs:
        os.close(fd)


def without_systemd(case):
    """without systemd the daemon alone keeps them, also for an orderly stop"""
    daemon = start(case, config(instance()))
    daemon.wait_for_line(r'^io: running')
    mark = daemon.mark()
    kill_host(daemon)
    daemon.wait_for_line(r'^io: running', after=mark)
    case.equal(daemon.matching('initial', mark), [], 'lines')
    daemon.stop()
    case.equal(len(daemon.matching(r'is off \(close\)')), 2, 'outputs set')


def exit_state(case, manager, *more):
    _, env, _ = manager.before_start()
    return case.using(subprocess.Popen(
        [BIN, '--exit-state', '--config', os.path.join(case.folder, 'tbagent.conf'), *options(case.folder), *more],
        stderr=subprocess.PIPE, text=True, env={**os.environ, **NO_BUS, **env}))


def given_up(case):
    """tbagent --exit-state, with a configuration that nobody can read: it sets what was driven, and holds it until it is ended"""
    manager, daemon = begin(case, instance() + instance('next', 'c', on_exit='last'))
    wait_for(lambda: 'next.c' in manager.names(), 10, 'the neighbour')
    daemon.process.kill()
    daemon.process.wait()
    write(daemon.conf, 'plugins = { io = {')
    os.unlink(os.path.join(case.folder, 'state', 'last-good.conf'))
    process = exit_state(case, manager)
    wait_for(lambda: manager.said('READY=1\nSTATUS=The daemon has failed'), 10, 'READY')
    case.equal(len(children(process.pid)), 2, 'hosts that hold the outputs')
    case.check(process.poll() is None, 'it has ended')
    process.terminate()
    _, log = process.communicate(timeout=10 * SLOW)
    case.equal(process.returncode, 0, 'exit code')
    for line in ('io: a is not kept', 'io: b is not kept', 'next: c is not kept'):
        case.check(line in log, 'no line "%s" in %s', line, log)


def given_up_early(case):
    """tbagent --exit-state before anything was driven goes by the configuration, or else by the last that ran, or says that there is none"""
    manager = case.using(Manager(case))
    write(os.path.join(case.folder, 'tbagent.conf'), config(instance()))
    process = exit_state(case, manager)
    wait_for(lambda: manager.said('READY=1'), 10, 'READY')
    process.terminate()
    case.check('io: b is not kept' in process.communicate(timeout=10 * SLOW)[1], 'nothing by the configuration')
    daemon = start(case, config('  counter = { plugin = "counter"; every = "50ms"; };' + instance()))
    daemon.wait_for_line(r'^io: running')
    daemon.stop()
    write(daemon.conf, '{')
    manager.forget_states()
    process = exit_state(case, manager)
    wait_for(lambda: manager.said('READY=1'), 10, 'READY')
    wait_for(lambda: len(children(process.pid)) == 1, 10, 'the one host with outputs')
    process.terminate()
    case.check('io: b is not kept' in process.communicate(timeout=10 * SLOW)[1], 'nothing by the last good configuration')
    os.unlink(os.path.join(case.folder, 'state', 'last-good.conf'))
    process = exit_state(case, manager)
    log = process.communicate(timeout=10 * SLOW)[1]
    case.equal(process.returncode, 78, 'exit code')
    case.check('nothing is set' in log, 'says %s', log)


def nothing_to_hold(case):
    """tbagent --exit-state ends at once where no plugin has outputs"""
    manager = case.using(Manager(case))
    write(os.path.join(case.folder, 'tbagent.conf'), config('  counter = { plugin = "counter"; };'))
    process = exit_state(case, manager)
    process.communicate(timeout=10 * SLOW)
    case.equal(process.returncode, 0, 'exit code')
    wait_for(lambda: manager.said('READY=1'), 5, 'READY=1')


def connection(case):
    """a plugin is told when the server comes and goes"""
    server, url, token = standin(case)
    daemon = start(case, config(instance(), url, token))
    daemon.connected()
    daemon.wait_for_line(r'^io: the server is there')
    for _ in range(2):
        mark = daemon.mark()
        server.control('drop', {'how': 'close', 'device': 'd'})
        daemon.wait_for_line(r'^io: the server is gone', after=mark)
        daemon.wait_for_line(r'^io: the server is there', after=mark, seconds=20)
    mark = daemon.mark()
    write(daemon.conf, config(instance()))
    daemon.hang_up()
    daemon.wait_for_line(r'^io: the server is gone', after=mark)
    daemon.stop()


def connection_without_attributes(case):
    """a server that answers no attribute request is told as there all the same, three seconds after the connection"""
    server, url, token = standin(case)
    server.control('faults', {'attribute_answers': 'silent'})
    daemon = start(case, config(instance(), url, token))
    for _ in range(2):
        mark = daemon.mark()
        began = when(daemon, r'^connected to ', mark)
        took = when(daemon, r'^io: the server is there', mark) - began
        case.note('told after %.2f s', took)
        case.check(took > 2.8, 'not when the attributes are there')
        if SLOW == 1:
            case.check(took < 5, 'too late')
        server.control('drop', {'how': 'close', 'device': 'd'})
        daemon.wait_for_line(r'^io: the server is gone', after=mark)
    mark = daemon.mark()
    server.control('faults', {'attribute_answers': None})
    took = when(daemon, r'^io: the server is there', mark) - when(daemon, r'^connected to ', mark)
    case.note('with an answer after %.2f s', took)
    if SLOW == 1:
        case.check(took < 2.8, 'waits without a reason')
    daemon.stop()


def lamps_only(case):
    """a method with a condition is offered for the channels that fulfil it"""
    server, url, token = standin(case)
    text = '  io = { plugin = "keeper"; outputs = { a = { kind = "lamp"; }; b = { }; }; };'
    daemon = start(case, config(text, url, token))
    daemon.connected()
    daemon.wait_for_line(r'^io: running')
    offered = [m for m in json.dumps(server.rpc('d', 'agent.methods')).split('"') if m.startswith('io.')]
    case.equal(sorted(offered), ['io.a.light', 'io.a.set', 'io.b.set'], 'methods')
    case.equal(server.rpc('d', 'light'), True, 'answer')     # one is meant
    daemon.wait_for_line(r'^io: a is lit \(rpc\)')
    daemon.stop()


if __name__ == '__main__':
    tap.main([host_crashes, daemon_crashes, stops, restart_or_stop, close_leaves, close_hangs, not_back, daemons_fail, overdue,
              stopped_while_it_starts, back_meanwhile, gone_meanwhile, daemon_crashes_meanwhile, absent, neighbour_changes,
              output_removed, misconfigured, instance_removed, other_plugin, changed_meanwhile, too_many, without_systemd, given_up,
              given_up_early, nothing_to_hold, connection, connection_without_attributes, lamps_only], parallel=4)
