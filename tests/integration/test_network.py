#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A network and a server that fail in every way: the loop of the daemon never waits for them, each change of state is
one line of the log, and nothing is lost.

test_network.py [--long] [WORD...]: --long leaves the deaf worker its default of three minutes."""
import re
import sys

import tap
from daemon import config, free_port, longest_turn, preload, settled, standin, start, wait_for, waiting
from mqtt_client import Client

COUNTER = '  counter = { plugin = "counter"; every = "100ms"; };'
ORDINARY = r'^counter: (running|stopped)$|^the time is trusted|^server limits|^stopped: '     # said whatever the network does
LONG = '--long' in sys.argv


def news(daemon):
    """What the log says of the connection, and of anything that should not have happened."""
    return [line for line in daemon.lines if not re.search(ORDINARY, line)]


def told(case, daemon, *wanted):
    """The log holds one line for each change of state, in this order, and no other."""
    lines = news(daemon)
    for line in lines:
        case.note('%s', line)
    case.equal(len(lines), len(wanted), 'lines of the log about the connection')
    for line, pattern in zip(lines, wanted):
        case.check(re.search(pattern, line), 'not /%s/ but: %s', pattern, line)


def counted_on(server, more=5):
    have = server.count('d')['stored']
    wait_for(lambda: server.count('d')['stored'] >= have + more, 40, '%d further values' % more)


def all_well(case, server, daemon, *wanted):
    """Stops it when what waited has arrived: the log is as wanted, nothing is lost, and the loop never waited."""
    wait_for(lambda: waiting(case) < 10, 30, 'the values of before')
    counts = daemon.stop()
    told(case, daemon, *wanted)
    settled(case, server, counts, in_order=False)
    longest_turn(case, counts)


def name_servers(case):
    """name servers silent for 15 s: sampling goes on, then all of it arrives"""
    library = preload('getaddrinfo-hang')
    server, url, token = standin(case)
    daemon = start(case, config(COUNTER, url.replace('127.0.0.1', 'localhost'), token),
                   env={'LD_PRELOAD': library, 'TBAGENT_DNS_SECONDS': '15'})
    daemon.wait_for_line(r'next try in', 30)
    daemon.connected(40)
    wait_for(lambda: server.count('d')['stored'] > 150, 20, 'the values of 15 s')
    all_well(case, server, daemon, r'localhost.*next try in', r'^connected to ')


def silent(case):
    """a server that accepts and never answers"""
    server, url, token = standin(case)
    server.control('faults', {'accept': 'hang'})
    daemon = start(case, config(COUNTER, url, token))
    daemon.wait_for_line(r'next try in', 60)
    server.control('faults/clear')
    daemon.connected(90)
    counted_on(server)
    all_well(case, server, daemon, r'does not answer.*next try in', r'^connected to ')


def falls_silent(case):
    """a server that stops acknowledging in the middle"""
    server, url, token = standin(case)
    daemon = start(case, config(COUNTER, url, token))
    daemon.connected()
    counted_on(server)
    server.control('faults', {'drop_acks': -1})
    mark = daemon.mark()
    daemon.wait_for_line(r'did not acknowledge.*next try in', 40, mark)
    server.control('faults/clear')
    daemon.connected(40, mark)
    counted_on(server)
    all_well(case, server, daemon, r'^connected to ', r'did not acknowledge.*next try in', r'^connected to ')


def refused(case, protocol, stranger):
    """refused credentials on MQTT %s (%s), until the server knows them"""
    server, url, _ = standin(case)
    token = stranger * 4
    daemon = start(case, config(COUNTER, url, token, 'protocol = "%s";' % protocol))
    daemon.wait_for_line(r'next try in')
    server.set_token('d', token)
    daemon.connected(60)
    counted_on(server)
    all_well(case, server, daemon, r'access token.*next try in (2\d|30)\.', r'^connected to ')
    case.check(not daemon.matching(token), 'the log shows the token')


def changed(case):
    """the token is taken away while connected"""
    server, url, token = standin(case)
    daemon = start(case, config(COUNTER, url, token))
    daemon.connected()
    counted_on(server)
    server.set_token('d', 'another')
    daemon.wait_for_line(r'refuses.*next try in 30', 40)
    counts = daemon.stop()
    told(case, daemon, r'^connected to ', r'credentials.*next try in', r'access token.*next try in 30')
    case.equal(counts.acknowledged + counts.waiting, counts.made, 'values acknowledged and waiting')
    longest_turn(case, counts)


def taken_over(case):
    """a second session with the same token takes over, on MQTT 5"""
    server, url, token = standin(case)
    daemon = start(case, config(COUNTER, url, token, 'protocol = "5";'))
    daemon.connected()
    counted_on(server)
    mark = daemon.mark()
    with Client(server.mqtt) as thief:
        case.equal(thief.connect(token, client_id='thief'), 0, 'CONNACK of the second session')
        daemon.wait_for_line(r'another program.*next try in', 10, mark)
        daemon.connected(40, mark)
    counted_on(server)
    all_well(case, server, daemon, r'^connected to ', r'another program.*next try in', r'^connected to ')


def nobody(case):
    """nobody listens: one line, however often it is tried"""
    daemon = start(case, config(COUNTER, 'mqtt://127.0.0.1:%d' % free_port(), 't', more='log_level = "debug";'))
    daemon.wait_for_line(r'next try in', 20)
    wait_for(lambda: len(daemon.matching(r'session state 3')) >= 2, 40, 'further tries')
    counts = daemon.stop()
    case.equal(len(daemon.matching(r'next try in')), 1, 'lines about it')
    case.note('%s', daemon.matching(r'next try in')[0])
    case.equal((counts.waiting, counts.dropped), (counts.made, 0), 'values waiting and dropped of %d made' % counts.made)
    longest_turn(case, counts)


def deaf(case, after):
    """a lookup that never returns: one line, and an end with 70 after %s without a sign of the MQTT thread"""
    library = preload('getaddrinfo-hang')
    limit = 240 if LONG else 15      # it is looked after every 20 s
    daemon = start(case, config(COUNTER, 'mqtt://localhost:%d' % free_port(), 't'),
                   more_options=() if LONG else ('--deaf-after', after), env={'LD_PRELOAD': library, 'TBAGENT_DNS_SECONDS': '-1'})
    daemon.wait_for_line(r'^counter: running')
    case.equal(daemon.wait(limit), 70, 'exit code')
    lines = daemon.matching(r'MQTT thread')
    case.equal(len(lines), 1, 'lines about it')
    case.check(re.search(r'has not answered for \d+ s.*starting anew', lines[0]), '%s', lines[0])
    case.note('%s', lines[0])
    case.equal(len(news(daemon)), 2 if LONG else 1, 'lines of the log')


def deaf_stop(case):
    """stopped during a lookup that never returns, it ends in time and orderly"""
    library = preload('getaddrinfo-hang')
    daemon = start(case, config(COUNTER, 'mqtt://localhost:%d' % free_port(), 't'),
                   env={'LD_PRELOAD': library, 'TBAGENT_DNS_SECONDS': '-1'})
    daemon.wait_for_line(r'^counter: running')
    counts = daemon.stop()
    case.equal((counts.waiting, counts.dropped), (counts.made, 0), 'values waiting and dropped of %d made' % counts.made)
    longest_turn(case, counts)


if __name__ == '__main__':
    functions = [silent, (refused, '5', 'wrong'), (refused, '3.1.1', 'wrong'), name_servers, falls_silent, changed,
                 taken_over, nobody, (deaf, '3min' if LONG else '5s'), deaf_stop]
    sys.argv = [a for a in sys.argv if a != '--long']
    tap.main(functions, parallel=len(functions))
