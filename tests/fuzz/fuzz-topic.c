/* SPDX-License-Identifier: Apache-2.0 */
/* The first byte chooses: a topic, a rate limit text as getSessionLimits brings it, or the file that limits are kept in. */
#include <assert.h>
#include <math.h>

#include "tb/limits-text.h"
#include "tb/topic.h"

static void fuzz_topic(const char *text) {
        char out[TOPIC_TEXT_MAX];
        uint32_t id, again;
        TopicKind kind;

        kind = topic_parse(text, &id);
        if (kind < 0)
                return;
        assert(id <= TOPIC_ID_MAX);
        assert(topic_parse(topic_build(kind, id, out), &again) == kind && again == id);
}

static void use_limits(Limits *l, usec_t now) {
        for (int i = 0; i < 20; i++) {
                uint32_t points = MIN(limits_max_points(l, now), 1u << (i % 12));

                now += MIN(limits_delay(l, points, now), 3600 * USEC_PER_SEC);
                limits_take(l, points, 0, now);
                assert(limits_points_now(l, now) >= 1 && limits_message_pace(l, now) > 0);
                if (i % 7 == 6)
                        limits_failed(l, i % 2, now);
                if (i == 18)
                        limits_acquit(l, now);
        }
}

static void fuzz_limits(const char *text) {
        usec_t now = USEC_PER_SEC;
        Bucket b;
        Limits l;

        if (bucket_parse(text, 0.8, now, &b) < 0)
                return;
        assert(b.n <= BUCKET_BANDS_MAX && bucket_capacity(&b) >= 1);
        limits_init(&l, 100, now);
        if (limits_told(&l, text, text, now) < 0)
                assert(strlen(text) >= LIMITS_TOLD_MAX);
        else
                use_limits(&l, now);
}

static void fuzz_file(const char *text) {
        usec_t now = 100 * USEC_PER_SEC;
        char out[LIMITS_TEXT_MAX];
        Limits l, again;

        limits_init(&l, 100, now);
        if (limits_read(&l, text, "mqtt://a:1883", now) < 0)
                return;
        limits_init(&again, 100, now);
        if (limits_write(&l, "mqtt://a:1883", out) == 0 || limits_read(&again, out, "mqtt://a:1883", now) < 0)
                abort();
        assert(limits_message_pace(&l, now) == limits_message_pace(&again, now));
        use_limits(&l, now);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char *text;

        if (size == 0 || size > 4096)
                return 0;
        text = malloc(size);
        if (!text)
                return 0;
        memcpy(text, data + 1, size - 1);
        text[size - 1] = 0;
        (data[0] == 'L' ? fuzz_limits : data[0] == 'F' ? fuzz_file : fuzz_topic)(text);
        free(text);
        return 0;
}
