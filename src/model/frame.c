/* SPDX-License-Identifier: Apache-2.0 */
/* A datagram is a type (32 bit), then the type's fields, all little endian:
 *
 *     u i   8 bytes
 *     s     32-bit length without the NUL, that many bytes without a NUL, one NUL
 *     b     32-bit length, that many bytes
 *
 * There is exactly one way to write a frame, so whatever frame_parse() accepts is what frame_build()
 * would have made of it, byte for byte: no padding, no optional fields, nothing behind the last one.
 * A type that needs another field gets a new number; both ends come from one package, but an upgrade
 * lets an old host talk to a new daemon for a while.
 *
 * The parser copies nothing: texts and bytes point into the datagram, which is why a text carries its NUL
 * with it. It doesn't judge values (a state, a level, a text that should be JSON): their receiver does. */
#include <assert.h>
#include <endian.h>
#include <stdarg.h>

#include "model/frame.h"

typedef struct FrameKind {
        const char *name;
        const char *fields;
} FrameKind;

static const FrameKind kinds[] = {
        [FRAME_SETUP]              = { "setup", "ssubb" },
        [FRAME_SAMPLE]             = { "sample", "" },
        [FRAME_RPC]                = { "rpc", "usss" },
        [FRAME_ATTRIBUTE]          = { "attribute", "ss" },
        [FRAME_SETTING]            = { "setting", "sb" },
        [FRAME_ANSWER]             = { "answer", "uus" },
        [FRAME_FD]                 = { "fd", "su" },
        [FRAME_LEVEL]              = { "level", "u" },
        [FRAME_STOP]               = { "stop", "u" },
        [FRAME_ROWS_ACK]           = { "rows-ack", "u" },
        [FRAME_CONNECTION]         = { "connection", "u" },
        [FRAME_HELLO]              = { "hello", "uss" },
        [FRAME_PROBLEM]            = { "problem", "usus" },
        [FRAME_DECLARE]            = { "declare", "ssu" },
        [FRAME_METHOD]             = { "method", "ssssu" },
        [FRAME_CHECKED]            = { "checked", "u" },
        [FRAME_STATE]              = { "state", "us" },
        [FRAME_ROWS]               = { "rows", "b" },
        [FRAME_GAP]                = { "gap", "uiis" },
        [FRAME_LOG]                = { "log", "us" },
        [FRAME_REPLY]              = { "reply", "us" },
        [FRAME_ERROR]              = { "error", "uss" },
        [FRAME_SUBSCRIBE]          = { "subscribe", "s" },
        [FRAME_ATTRIBUTES]         = { "attributes", "s" },
        [FRAME_ATTRIBUTES_REQUEST] = { "attributes-request", "ussu" },
        [FRAME_CALL]               = { "call", "ussu" },
        [FRAME_PUT]                = { "put", "b" },
        [FRAME_FD_KEEP]            = { "fd-keep", "s" },
        [FRAME_FD_TAKE]            = { "fd-take", "s" },
        [FRAME_FOUND]              = { "found", "s" },
        [FRAME_COUNTERS]           = { "counters", "uuuuuu" },
        [FRAME_DONE]               = { "done", "s" },
        [FRAME_EFFECT]             = { "effect", "susss" },
        [FRAME_FD_FORGET]          = { "fd-forget", "s" },
};

static const char *const state_names[_HOST_STATE_MAX] = {
        [HOST_OPENING] = "opening",
        [HOST_WAITING] = "waiting",
        [HOST_RUNNING] = "running",
        [HOST_ILL] = "ill",
        [HOST_MISCONFIGURED] = "misconfigured",
        [HOST_BACKOFF] = "backoff",
        [HOST_STUCK] = "stuck",
        [HOST_STOPPED] = "stopped",
};

const char *host_state_name(HostState s) {
        return (size_t)s < ELEMENTS(state_names) ? state_names[s] : "unknown";
}

const char *frame_fields(FrameType type) {
        return (size_t)type < ELEMENTS(kinds) ? kinds[type].fields : NULL;
}

const char *frame_name(FrameType type) {
        return (size_t)type < ELEMENTS(kinds) ? kinds[type].name : NULL;
}

typedef struct Out {
        uint8_t *data;
        size_t size;
        bool full;
} Out;

static void put_bytes(Out *o, const void *data, size_t size) {
        if (size > FRAME_SIZE_MAX - o->size)
                o->full = true;
        if (o->full || size == 0)
                return;
        memcpy(o->data + o->size, data, size);
        o->size += size;
}

static void put_u32(Out *o, size_t v) {
        /* What is cut here doesn't fit below FRAME_SIZE_MAX either, and put_bytes() says so next. */
        uint32_t le = htole32((uint32_t)v);

        put_bytes(o, &le, sizeof(le));
}

static void put_u64(Out *o, uint64_t v) {
        uint64_t le = htole64(v);

        put_bytes(o, &le, sizeof(le));
}

static void put_string(Out *o, const char *text) {
        assert(text);

        size_t size = strlen(text);

        put_u32(o, size);
        put_bytes(o, text, size + 1);
}

ssize_t frame_build_list(uint8_t out[static FRAME_SIZE_MAX], FrameType type, va_list ap) {
        const char *fields = frame_fields(type);
        Out o = { .data = out };

        assert(fields);
        put_u32(&o, type);
        for (const char *f = fields; *f; f++)
                switch (*f) {
                case 'u':
                        put_u64(&o, va_arg(ap, uint64_t));
                        break;
                case 'i':
                        put_u64(&o, (uint64_t)va_arg(ap, int64_t));
                        break;
                case 's':
                        put_string(&o, va_arg(ap, const char *));
                        break;
                case 'b': {
                        const void *data = va_arg(ap, const void *);
                        size_t size = va_arg(ap, size_t);

                        put_u32(&o, size);
                        put_bytes(&o, data, size);
                        break;
                }
                }
        return o.full ? -EMSGSIZE : (ssize_t)o.size;
}

ssize_t frame_build(uint8_t out[static FRAME_SIZE_MAX], FrameType type, ...) {
        va_list ap;
        ssize_t n;

        va_start(ap, type);
        n = frame_build_list(out, type, ap);
        va_end(ap);
        return n;
}

/* Takes n bytes off the front; NULL: there are not as many. */
static const uint8_t *take(const uint8_t **data, size_t *size, size_t n) {
        const uint8_t *p = *data;

        if (n > *size)
                return NULL;
        *data += n;
        *size -= n;
        return p;
}

static int take_number(const uint8_t **data, size_t *size, FrameField *ret) {
        const uint8_t *p = take(data, size, sizeof(uint64_t));
        uint64_t le;

        if (!p)
                return -EBADMSG;
        memcpy(&le, p, sizeof(le));
        *ret = (FrameField){ .u = le64toh(le) };
        return 0;
}

static int take_bytes(const uint8_t **data, size_t *size, bool text, FrameField *ret) {
        const uint8_t *p = take(data, size, sizeof(uint32_t));
        uint32_t le;
        size_t n;

        if (!p)
                return -EBADMSG;
        memcpy(&le, p, sizeof(le));
        n = le32toh(le);
        if (n > FRAME_SIZE_MAX)
                return -EBADMSG;
        p = take(data, size, n + text);
        if (!p || (text && memchr(p, 0, n + 1) != p + n))
                return -EBADMSG;
        *ret = (FrameField){ .data = (const char *)p, .size = n };
        return 0;
}

int frame_parse(const uint8_t *data, size_t size, Frame *ret) {
        const uint8_t *p;
        const char *fields;
        Frame frame = { 0 };
        uint32_t type;

        if (size > FRAME_SIZE_MAX || !(p = take(&data, &size, sizeof(type))))
                return -EBADMSG;
        memcpy(&type, p, sizeof(type));
        frame.type = le32toh(type);
        fields = frame_fields(frame.type);
        if (!fields)
                return -EBADMSG;

        for (; fields[frame.n_fields]; frame.n_fields++) {
                char kind = fields[frame.n_fields];
                FrameField *field = &frame.f[frame.n_fields];
                int r = kind == 'u' || kind == 'i' ? take_number(&data, &size, field)
                                                   : take_bytes(&data, &size, kind == 's', field);

                if (r < 0)
                        return r;
        }
        if (size != 0)
                return -EBADMSG;
        *ret = frame;
        return 0;
}
