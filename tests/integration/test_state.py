#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a plugin keeps by state_put() is there again, whatever ended the processes: a counter goes on counting."""
import os
import shutil
import signal

import tap
from daemon import children, config, standin, start, wait_for

KEEPER = '  counter = { plugin = "counter"; every = "50ms"; keep = true; };'
ENOUGH = 10


def values(server):
    return [v for _, v in server.series('d', ['count']).get('count', [])]


def counted_on(server):
    have = len(values(server))
    wait_for(lambda: len(values(server)) >= have + ENOUGH, 40, 'further values of the counter')


def check_counter(case, server, kills):
    """No number is missing; after a kill the one that was on its way may come again."""
    found = values(server)
    steps = [b - a for a, b in zip(found, found[1:])]
    case.note('%d values up to %d, %d kills, %d numbers twice', len(found), found[-1], kills, steps.count(0))
    case.equal(set(steps) - {0, 1}, set(), 'steps of the counter')
    case.check(steps.count(0) <= kills, '%d numbers twice after %d kills', steps.count(0), kills)


def files(case):
    return [os.path.join(case.folder, folder, 'state', 'counter') for folder in ('run', 'state')]


def kill_host(case):
    """kill -9 of the plugin's process, three times: it goes on where it was"""
    server, url, token = standin(case)
    daemon = start(case, config(KEEPER, url, token))
    for _ in range(3):
        mark = daemon.mark()
        counted_on(server)
        for pid in children(daemon.pid):
            os.kill(pid, signal.SIGKILL)
        daemon.wait_for_line(r'^counter: running', after=mark, seconds=20)
    counted_on(server)
    daemon.stop()
    check_counter(case, server, 3)


def kill_daemon(case):
    """kill -9 of the daemon, three times: the plugin goes on where it was, and the disk saw nothing of it"""
    server, url, token = standin(case)
    for _ in range(3):
        daemon = start(case, config(KEEPER, url, token))
        counted_on(server)
        daemon.process.kill()
        daemon.process.wait()
        case.check(not os.path.exists(files(case)[1]), 'the state directory has a file before its time')
    daemon = start(case, config(KEEPER, url, token))
    counted_on(server)
    daemon.stop()
    check_counter(case, server, 3)


def wiped(case):
    """an orderly stop, then a reboot that takes the runtime directory: it goes on where it was, no number twice"""
    server, url, token = standin(case)
    for _ in range(2):
        daemon = start(case, config(KEEPER, url, token))
        counted_on(server)
        daemon.stop()
        runtime = os.path.realpath(os.path.join(case.folder, 'run'))
        shutil.rmtree(runtime)
        os.mkdir(runtime)
        case.check(os.path.exists(files(case)[1]), 'nothing in the state directory')
    daemon = start(case, config(KEEPER, url, token))
    counted_on(server)
    daemon.stop()
    check_counter(case, server, 0)


def without_server(case):
    """without a server the disk gets it at the stop all the same"""
    daemon = start(case, config(KEEPER))
    daemon.wait_for_line(r'^counter: running')
    wait_for(lambda: os.path.exists(files(case)[0]), 10, 'the first put')
    daemon.stop()
    with open(files(case)[0], 'rb') as new, open(files(case)[1], 'rb') as saved:
        case.equal(saved.read(), new.read(), 'what the disk has')


def torn(case):
    """a torn file costs a line of the log, and the other one is taken; without any it begins anew"""
    server, url, token = standin(case)
    daemon = start(case, config(KEEPER, url, token))
    counted_on(server)
    daemon.stop()
    os.truncate(files(case)[0], 35)
    daemon = start(case, config(KEEPER, url, token))
    case.check('it is torn' in daemon.wait_for_line(r'^counter: what it kept in \S+run/state/counter is left out'), 'why')
    counted_on(server)
    daemon.stop()
    check_counter(case, server, 0)
    highest = max(values(server))
    for path in files(case):
        os.truncate(path, 3)
    daemon = start(case, config(KEEPER, url, token))
    counted_on(server)
    counts = daemon.stop()
    case.equal(len(daemon.matching(r'^counter: what it kept in .* is left out: it is too short')), 2, 'lines of the log')
    case.equal(values(server)[highest + 1:][:3], [0, 1, 2], 'values after both were torn')
    case.equal(counts.dropped, 0, 'values dropped')


if __name__ == '__main__':
    tap.main([kill_host, kill_daemon, wiped, without_server, torn], parallel=5)
