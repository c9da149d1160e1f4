/* SPDX-License-Identifier: Apache-2.0 */
/* put-rows RING SIZE COUNT NUMBER TEXT: COUNT rows {"p":0}, {"p":1} ... straight into a ring file, past every check, while no
 * daemon runs; in place of NUMBER there is TEXT. They are 100 ms apart and end now. */
#include <stdio.h>
#include <stdlib.h>

#include "agent/clock.h"
#include "spool/spool.h"

#define STEP_NS (100 * 1000000LL)

static int put(Spool *s, int64_t boottime_ns, const char *text) {
        Row row = { .boottime_ns = boottime_ns, .points = 1, .device = "", .text = text, .text_size = strlen(text) };

        return spool_append(s, &row, NULL);
}

static int put_all(Spool *s, int64_t now_ns, long count, long bad, const char *text) {
        int r = 0;

        for (long i = 0; i < count && r >= 0; i++) {
                char good[32];

                snprintf(good, sizeof(good), "{\"p\":%ld}", i);
                r = put(s, now_ns - (count - i) * STEP_NS, i == bad ? text : good);
        }
        return r;
}

int main(int argc, char **argv) {
        _cleanup_(loop_freep) Loop *loop = NULL;
        _cleanup_(clock_freep) Clock *clock = NULL;
        _cleanup_(spool_freep) Spool *spool = NULL;
        int r;

        if (argc != 6) {
                fprintf(stderr, "usage: put-rows RING SIZE COUNT NUMBER TEXT\n");
                return 2;
        }
        r = loop_new(&loop);
        if (r >= 0)
                r = clock_new(&clock, &(ClockParams){ .loop = loop, .always_trusted = true });
        if (r >= 0)
                r = spool_new(&spool, &(SpoolParams){ .loop = loop, .ring_path = argv[1], .ring_size = (size_t)atol(argv[2]),
                                                      .batch_interval = USEC_PER_SEC, .store_after = 5 * USEC_PER_SEC,
                                                      .era = clock_era(clock) });
        if (r >= 0)
                r = put_all(spool, (int64_t)loop_boottime(loop) * 1000, atol(argv[3]), atol(argv[4]), argv[5]);
        if (r < 0)
                fprintf(stderr, "put-rows: %s\n", strerror(-r));
        return r < 0;
}
