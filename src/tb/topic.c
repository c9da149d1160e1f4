/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "tb/topic.h"

/* The filter is the topic, with + in place of an id at its end. */
static const char *const filters[_TOPIC_MAX] = {
        [TOPIC_TELEMETRY] = "v1/devices/me/telemetry",
        [TOPIC_ATTRIBUTES] = "v1/devices/me/attributes",
        [TOPIC_ATTRIBUTES_REQUEST] = "v1/devices/me/attributes/request/+",
        [TOPIC_ATTRIBUTES_RESPONSE] = "v1/devices/me/attributes/response/+",
        [TOPIC_RPC_REQUEST] = "v1/devices/me/rpc/request/+",
        [TOPIC_RPC_RESPONSE] = "v1/devices/me/rpc/response/+",
        [TOPIC_CLAIM] = "v1/devices/me/claim",
};

/* Without the + */
static size_t stem_size(TopicKind kind) {
        size_t size = strlen(filters[kind]);

        return filters[kind][size - 1] == '+' ? size - 1 : size;
}

bool topic_has_id(TopicKind kind) {
        return filters[kind][stem_size(kind)] == '+';
}

const char *topic_filter(TopicKind kind) {
        return filters[kind];
}

const char *topic_build(TopicKind kind, uint32_t id, char out[static TOPIC_TEXT_MAX]) {
        if (topic_has_id(kind))
                snprintf(out, TOPIC_TEXT_MAX, "%.*s%u", (int)stem_size(kind), filters[kind], (unsigned)id);
        else
                snprintf(out, TOPIC_TEXT_MAX, "%s", filters[kind]);
        return out;
}

/* Digits alone, at most TOPIC_ID_MAX. */
static int parse_id(const char *text, uint32_t *ret_id) {
        uint64_t id = 0;

        if (*text == 0)
                return -EINVAL;
        for (; *text; text++) {
                if (*text < '0' || *text > '9')
                        return -EINVAL;
                id = id * 10 + (uint64_t)(*text - '0');
                if (id > TOPIC_ID_MAX)
                        return -EINVAL;
        }
        *ret_id = (uint32_t)id;
        return 0;
}

TopicKind topic_parse(const char *text, uint32_t *ret_id) {
        for (TopicKind kind = 0; kind < _TOPIC_MAX; kind++) {
                size_t size = stem_size(kind);
                uint32_t id = 0;

                if (strncmp(text, filters[kind], size) != 0)
                        continue;
                if (topic_has_id(kind) ? parse_id(text + size, &id) < 0 : text[size] != 0)
                        continue;
                *ret_id = id;
                return kind;
        }
        return _TOPIC_INVALID;
}
