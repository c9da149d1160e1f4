# SPDX-License-Identifier: Apache-2.0
"""A long time without a broker, then a server with limits: the backlog goes in order and within them, and new rows do not
wait behind it.

The past is an hour (--seconds) at --rate points a second, emitted in a thirty-sixth of that time with the times it had, while
the broker is dead. Then the broker is back and rows come as they are sampled, at the same rate. The server tells its limits and
closes whenever they are passed: it proves by itself that they were not."""
import time

from world import DEVICE, World, none_lost

MESSAGES, POINTS = '100:1', '1000:1'
FASTER = 36         # the past is emitted so many times faster than it was
STEP = 100          # ms between two rows
LAG_MARGIN = .5     # s beyond the batch interval


def history(o):
    """One key counts the rows, so that what is missing or out of place is seen."""
    return '  past = { plugin = "history"; every = "%dms"; step = "%dms"; keys_per_row = %d; span = "%dms"; over = "%dms"; };' % (
        STEP, STEP, round(o.rate * STEP / 1000), o.seconds * 1000, o.seconds * 1000 / FASTER)


def backfill(case, o):
    w = World(case, o.mqtt)
    w.server.control('limits', {'messages': MESSAGES, 'telemetryMessages': MESSAGES, 'telemetryDataPoints': POINTS})
    w.link.refuse()
    w.start(history(o))
    w.pause(max(o.seconds / FASTER, w.batch_interval + w.store_after) + 1, 'the past comes in')
    waiting = w.waiting()
    case.note('%d points wait', waiting)
    case.check(waiting >= o.seconds * o.rate, 'that is not the past')
    mark = w.daemon.mark()
    w.link.accept()
    w.daemon.connected(150, mark)
    began = time.time()
    few = 3 * o.rate * w.batch_interval
    w.pause(waiting / o.rate + 60, 'backfill', until=lambda: w.waiting() < few)
    took = time.time() - began
    case.note('the backlog took %.1f s: %.0f points a second, beside %g new ones', took, waiting / took, o.rate)
    lag = w.server.lag(DEVICE, int(began * 1000))
    case.note('new rows are stored after %d ms (p50), %d ms (p99), %d ms (the last): %d points',
              *(lag[n] for n in ('p50', 'p99', 'max', 'points')))
    closes = w.server.stats()['closes_rate_limit']
    result = w.finish()
    none_lost(case, result)
    numbers = [v for _, v in w.server.series(DEVICE, ['h0'], limit=10 ** 7)['h0']]
    case.equal(numbers, list(range(len(numbers))), 'the numbers of the rows by their time')
    case.equal(closes, 0, 'closes because of a limit')
    longest = (w.batch_interval + LAG_MARGIN) * 1000
    case.check(lag['p99'] <= longest, 'new rows were stored after %d ms (p99), %d are promised', lag['p99'], longest)
    case.note('held: limits %s messages and %s points never passed, p99 of the lag %d <= %d ms', MESSAGES, POINTS, lag['p99'],
              longest)
