# SPDX-License-Identifier: Apache-2.0
"""Cases 29 to 31 and 38: shared attributes are as the server has them, whatever was missed or came in another order."""
import os
import time

import daemon as real
import wire
from world import DEVICE, case

CUTS, ROUNDS, LARGE = 3, 60, 1000000


def shared(w):
    return w.server.attributes(w.name, 'SHARED_SCOPE')


def mirrored(w):
    """Waits until the mirror has what the server has, and nothing else."""
    w.until(lambda: w.mirror() == shared(w), 'the mirror')


def asked(w, since=0):
    return w.wire.publishes(wire.ASK, since)


@case(29)
def changed_while_offline(w):
    """shared attributes that were changed or deleted without a connection are right after the next, for plugins too"""
    daemon = w.start(DEVICE % 'watch = ["a", "gone"]')
    w.server.share(w.name, dict(a=1, gone='soon', same=True))
    mirrored(w)
    w.stored('seen_gone', 'soon')
    mark, line = w.wire.mark(), daemon.mark()
    w.wire.down()
    daemon.wait_for_line(r'next try in', after=line)
    w.server.share(w.name, dict(a=2, new=1.5))
    w.server.unshare(w.name, ['gone'])
    w.wire.up()
    daemon.connected(30, line)
    mirrored(w)
    w.check(asked(w, mark), 'nothing was asked after the connection')
    w.stored('seen_a', 2)
    w.stored('seen_gone', 'deleted')


@case(29, seconds=10)
def changed_around_suback(w):
    """updates at the time of a SUBSCRIBE, which the server may lose, are there in the end"""
    daemon = w.start()
    w.server.share(w.name, dict(n=-1))
    mirrored(w)
    for n in range(CUTS):
        mark, line = w.wire.mark(), daemon.mark()
        w.wire.cut()
        w.until(lambda m=mark: w.wire.seen(wire.SUBSCRIBE, True, m), 'a SUBSCRIBE', 30)
        w.server.share(w.name, dict(n=n))
        w.until(lambda m=mark: w.wire.seen(wire.SUBACK, False, m), 'a SUBACK')
        w.server.share(w.name, {'m%d' % n: n})
        daemon.connected(20, line)
        mirrored(w)


@case(29)
def survives_the_daemon(w):
    """what was shared holds when the daemon starts without a network"""
    w.start()
    w.server.share(w.name, dict(a=1, b='two'))
    mirrored(w)
    w.stop()
    w.wire.down()
    daemon = w.start(DEVICE % 'watch = "b"', connected=False)
    daemon.wait_for_line(r'next try in')
    w.until(lambda: real.ring(w.case)['made'], 'what the plugin sends of it')
    w.equal(w.mirror(), dict(a=1, b='two'), 'the mirror')
    before = time.time() * 1000
    w.wire.up()
    daemon.connected(30)
    w.stored('seen_b', 'two')
    w.check(w.server.series(w.name, ['seen_b'])['seen_b'][0][0] < before, 'the plugin heard of it from the server alone')


@case(30, seconds=6)
def burst_of_updates(w):
    """after a burst of updates and deletions it asks again, and ends in the server's state"""
    w.start()
    w.until(lambda: w.wire.downlinks(wire.ANSWER), 'the first answer, which comes once the subscription holds')
    for n in range(ROUNDS):
        w.server.share(w.name, {'k%d' % (n % 7): n, 'odd': n % 2 == 1})
        if n % 5 == 4:
            w.server.unshare(w.name, ['k%d' % (n % 7)])
    mirrored(w)
    updates = w.wire.downlinks(wire.ATTRIBUTES)
    w.until(lambda: asked(w)[-1].time > updates[-1].time, 'a question after the updates')
    w.note('%d updates, %d questions', len(updates), len(asked(w)))
    w.check(len(asked(w)) < ROUNDS / 3, '%d questions', len(asked(w)))


@case(30, standin=['--settle', '0.02'], seconds=8)
def reordered(w):
    """updates and answers that overtake each other: it ends in the server's state all the same"""
    w.server.control('faults', {'downlink_reorder': 4})
    w.start()
    w.server.share(w.name, dict(deleted=['x'], y=0))
    for n in range(ROUNDS):
        w.server.share(w.name, dict(x=n))
        if n % 3 == 1:
            w.server.unshare(w.name, ['x'])
        if n % 20 == 19:
            w.until(lambda: w.mirror().get('x') == shared(w).get('x'), 'the mirror in the middle')
    w.server.unshare(w.name, ['deleted'])
    mirrored(w)
    w.equal(w.mirror(), dict(x=ROUNDS - 1, y=0), 'the mirror')


@case(31, seconds=20)
def no_answer(w):
    """a question for attributes that gets no answer is given up after its time and asked again under a higher id"""
    w.wire.lose = lambda packet: packet.is_downlink(wire.ANSWER)
    w.start()
    w.until(lambda: w.wire.lost, 'the answer that gets lost')
    w.wire.lose = None
    w.server.share(w.name, dict(late=1))
    w.until(lambda: len(asked(w)) > 1, 'a second question', 30)
    w.until(lambda: w.wire.downlinks(wire.ANSWER)[1:], 'its answer')
    pause = asked(w)[1].time - asked(w)[0].time
    w.note('asked again after %.1f s', pause)
    w.check(10 < pause < 30, 'asked again after %.1f s', pause)
    ids = [int(p.topic.rsplit('/', 1)[1]) for p in asked(w)]
    w.check(ids == sorted(set(ids)) and ids[0] > 0, 'ids %s', ids)
    mirrored(w)


@case(31)
def empty_names(w):
    """a question with an empty name, which the server never answers, is not sent: who asks is told at once"""
    w.start(DEVICE % 'answer_within = "30s"')
    w.ready()
    mark = w.wire.mark()
    for keys in ('a,,b|', '|,s', '|n,', 'a|b, '):
        w.equal(w.rpc('dev.ask', keys), True, 'reply')
    w.until(lambda: len(w.values('failed')) == 4, 'what came of them')
    w.equal((set(w.values('failed')), asked(w, mark)), ({'invalid'}, []), 'what came of them, and what was sent')
    w.server.share(w.name, dict(s=5))
    w.rpc('dev.ask', '|s,none')
    w.equal(w.stored('answer'), [dict(shared=dict(s=5))], 'answer to a good one')
    w.equal(asked(w, mark)[0].payload, b'{"sharedKeys":"s,none"}', 'the question')


def same_memory(w, before, largest):
    """The library keeps room for the largest packet that ever came, and that is all."""
    if real.SANITIZER:
        return
    after = w.memory()
    w.note('anonymous memory %d KiB, then %d KiB', before, after)
    w.check(after < before + largest // 1024 + 1024, 'memory grew from %d to %d KiB', before, after)


@case(38)
def large_attribute(w):
    """an attribute of 1 MB is left out and told; the others stay right, and the memory stays small"""
    daemon = w.start()
    w.server.share(w.name, dict(a=1))
    mirrored(w)
    before = w.memory()
    for n in range(5):
        w.server.share(w.name, dict(large='x' * LARGE, n=n))
    w.until(lambda: w.mirror() == dict(a=1, n=4), 'the mirror')
    daemon.wait_for_line(r'shared attribute "large" is left out')
    w.check(os.stat(w.state('shared.conf')).st_size < 1000, 'size of the mirror')
    w.server.unshare(w.name, ['large'])
    w.server.share(w.name, dict(a=2))
    mirrored(w)
    same_memory(w, before, LARGE)
    w.equal(len(daemon.matching(r'^connected to')), 1, 'sessions')


@case(38, standin=['--settle', '0.02'])
def larger_than_all(w):
    """downlinks of 3 MB, more than is ever taken: the daemon goes on, and its memory grows by one of them at most"""
    daemon = w.start()
    w.ready()
    before = w.memory()
    for topic in 3 * (wire.ATTRIBUTES, wire.RPC_REQUEST + '1000', wire.ANSWER + '1000', 'v1/devices/me/unknown'):
        w.server.control('downlink', dict(device=w.name, topic=topic, payload='{"method":"m","params":"%s"}' % ('x' * 3 * LARGE)))
    w.until(lambda: w.rpc('agent.ping') == 'pong', 'an answer', 30)
    same_memory(w, before, 3 * LARGE)
    w.equal(len(daemon.matching(r'^connected to')), 1, 'sessions')
