/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "spool/gap.h"

#define GAP_BYTES (3 * sizeof(uint64_t) + sizeof(((Gap *)0)->why) + sizeof(((Gap *)0)->instance))
_Static_assert(GAP_BYTES == sizeof(Gap), "a gap is kept as it lies in memory");
_Static_assert(6 * 128 + 160 < GAP_TEXT_MAX, "the longest texts, every byte of them escaped, fit");

bool gap_same(const Gap *a, const Gap *b) {
        return streq(a->why, b->why) && streq(a->instance, b->instance);
}

size_t gap_write(char out[static GAP_TEXT_MAX], const Gap *g) {
        memcpy(out, g, sizeof(*g));
        return sizeof(*g);
}

int gap_read(const char *text, size_t size, Gap *ret) {
        Gap g;

        if (size != sizeof(g))
                return -EBADMSG;
        memcpy(&g, text, sizeof(g));
        if (g.points == 0 || !memchr(g.why, '\0', sizeof(g.why)) || !memchr(g.instance, '\0', sizeof(g.instance)))
                return -EBADMSG;
        *ret = g;
        return 0;
}

size_t gap_telemetry(char out[static GAP_TEXT_MAX], const Gap *g, int64_t offset_ms) {
        char why[6 * sizeof(g->why) + 2], instance[6 * sizeof(g->instance) + 2];
        int why_size = (int)json_quote(why, g->why, strlen(g->why));
        int instance_size = (int)json_quote(instance, g->instance, strlen(g->instance));

        return (size_t)snprintf(out, GAP_TEXT_MAX,
                                "{\"tbagent_gap\":{\"dropped\":%" PRIu64 ",\"from\":%" PRId64 ",\"to\":%" PRId64
                                ",\"why\":%.*s,\"instance\":%.*s}}",
                                g->points, row_ms(g->from_ns) + offset_ms, row_ms(g->to_ns) + offset_ms, why_size, why,
                                instance_size, instance);
}
