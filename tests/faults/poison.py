# SPDX-License-Identifier: Apache-2.0
"""One row that the server refuses, put straight into the ring past every check, among a thousand good ones: it alone goes, to
rejected.jsonl, on MQTT 5 (where the server says which message it does not take) and on 3.1.1 (where it only closes)."""
import json
import os
import subprocess

from world import DEVICE, Failed, Result, World

from daemon import BUILD

ROWS = 1000
BAD = '{"bad":}'            # Gson in its lenient mode takes nearly all; this it does not
RING_SIZE = 1 << 20


def put_rows(w, rows, bad):
    program = os.path.join(BUILD, 'tests', 'faults', 'put-rows')
    found = subprocess.run([program, w.ring_path, str(RING_SIZE), str(rows), str(bad), BAD], capture_output=True, text=True)
    if found.returncode != 0:
        raise Failed(found.stderr.strip() or 'put-rows failed')


def once(case, mqtt, rows, more):
    w = World(case, mqtt, telemetry=more)
    bad = rows // 2
    put_rows(w, rows, bad)
    case.note('MQTT %s: %d points in the ring', mqtt, w.ledger()['made'])
    w.start()
    path = os.path.join(w.state, 'rejected.jsonl')
    w.pause(900, 'MQTT ' + mqtt, until=lambda: w.stored() >= rows - 1 and os.path.exists(path) and not w.waiting())
    result = w.finish()
    with open(path) as f:
        rejected = [json.loads(line) for line in f]
    for line in rejected:
        case.note('rejected.jsonl: %s', line)
    numbers = [v for _, v in w.server.series(DEVICE, ['p'], limit=10 * rows)['p']]
    case.equal(numbers, [n for n in range(rows) if n != bad], 'rows at the server')
    case.equal(len(rejected), 1, 'lines of rejected.jsonl')
    case.equal(rejected[0].get('text'), BAD, 'the rejected row')
    case.equal((result.lost, result.rejected, result.dropped), (0, 1, 0), 'lost, rejected, dropped')
    case.note('held on MQTT %s: %d rows arrived, 1 stands in rejected.jsonl', mqtt, len(numbers))
    return result


def poison(case, o):
    total = Result()
    for mqtt in o.protocols:
        # On 3.1.1 a suspect is asked twice, ten seconds apart, each time it is halved: the short form has little to halve.
        few = o.short and mqtt != '5'
        found = once(case, mqtt, 10 if few else ROWS, 'batch_size = "1k"; ring_size = "1M";' if few else 'ring_size = "1M";')
        total.add(found)
        case.result = total
