/* SPDX-License-Identifier: Apache-2.0 */
/* The text of a row is written once, in the host, and from then on only looked at and copied: checked when
 * it comes through the socket, cut where a batch must be smaller, never parsed into a tree.
 *
 * The cutter trusts its text, which was validated: outside of strings it only counts brackets.
 *
 * Not done: members with the same name are not noticed (the writer's caller ends a row where a key comes
 * again), and a text in quotes that looks like a number is left for the server to take as one. */
#include <assert.h>
#include <endian.h>

#include "model/row.h"

/* ---- validator */

/* The character behind \u, which may be half of a pair; 0: a surrogate alone (or NUL: both are refused). */
static uint32_t unescape_unicode(const char **p, const char *end) {
        uint32_t c = (uint32_t)json_hex4(*p, 4), low;

        *p += 4;
        if (c < 0xd800 || c > 0xdfff)
                return c;
        if (c > 0xdbff || end - *p < 6 || (*p)[0] != '\\' || (*p)[1] != 'u')
                return 0;
        low = (uint32_t)json_hex4(*p + 2, 4);
        if (low < 0xdc00 || low > 0xdfff)
                return 0;
        *p += 6;
        return 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
}

/* The name behind its escapes; false: longer than a key may be, or not text. */
static bool unescape(const JsonText *name, char out[static KEY_TEXT_MAX + 4], size_t *ret_size) {
        static const char named[] = "\"\"\\\\//b\bf\fn\nr\rt\t";
        const char *p = name->data, *end = p + name->size;
        size_t n = 0;

        while (p < end) {
                uint32_t c;

                if (n > KEY_TEXT_MAX)
                        return false;
                if (*p != '\\') {
                        out[n++] = *p++;
                        continue;
                }
                p += 2;
                if (p[-1] == 'u') {
                        c = unescape_unicode(&p, end);
                        if (c == 0)
                                return false;
                        n += utf8_encode(out + n, c);
                        continue;
                }
                for (size_t i = 0; named[i]; i += 2)
                        if (named[i] == p[-1])
                                out[n++] = named[i + 1];
        }
        *ret_size = n;
        return true;
}

static bool name_is_key(const JsonText *name) {
        char text[KEY_TEXT_MAX + 4];
        size_t size;

        if (!name->escaped)
                return key_check(name->data, name->size, NULL) == 0;
        return unescape(name, text, &size) && key_check(text, size, NULL) == 0;
}

int row_validate(const char *text, size_t size, row_member_fn member, void *userdata, uint32_t *ret_points) {
        JsonScan s = { text, text + size };
        uint32_t points = 0;
        bool done;

        if (!json_skip(&s, '{'))
                return -EBADMSG;
        json_skip_blanks(&s);
        for (done = json_skip(&s, '}'); !done; points++) {
                const char *value;
                JsonText name;
                int r;

                if (!json_scan_name(&s, &name) || !name_is_key(&name))
                        return -EBADMSG;
                value = s.p;
                if (json_at(&s, 'n') || !json_scan_value(&s, ROW_DEPTH_MAX - 1))
                        return -EBADMSG;
                r = member ? member(userdata, name.data, name.size, value, (size_t)(s.p - value)) : 0;
                if (r < 0)
                        return r;
                json_skip_blanks(&s);
                done = json_skip(&s, '}');
                if (!done && !json_skip(&s, ','))
                        return -EBADMSG;
        }
        if (s.p != s.end)
                return -EBADMSG;
        *ret_points = points;
        return 0;
}

/* ---- writer */

void row_writer_reset(RowWriter *w) {
        w->text[0] = '{';
        w->size = 1;
        w->points = 0;
}

static int write_value(char *out, const Value *v, int decimals, size_t *ret_size) {
        bool null;

        switch (v->type) {
        case VALUE_BOOL:
                *ret_size = v->b ? 4 : 5;
                memcpy(out, v->b ? "true" : "false", *ret_size);
                return 0;
        case VALUE_INT:
                *ret_size = number_format_int(out, v->i);
                return 0;
        case VALUE_DOUBLE:
                return number_format_double(out, v->d, decimals, ret_size);
        case VALUE_STRING:
                if (v->s.size > VALUE_TEXT_MAX)
                        return -E2BIG;
                *ret_size = json_quote(out, v->s.text, v->s.size);
                return 0;
        case VALUE_JSON:
                if (v->s.size > VALUE_TEXT_MAX)
                        return -E2BIG;
                if (!json_scan_text(v->s.text, v->s.size, ROW_DEPTH_MAX - 1, &null) || null)
                        return -EINVAL;
                memcpy(out, v->s.text, v->s.size);
                *ret_size = v->s.size;
                return 0;
        }
        assert(!"value of unknown type");
        return -EINVAL;
}

int row_writer_add(RowWriter *w, const char *key, size_t key_size, const Value *v, int decimals) {
        char *p = w->text + w->size;
        size_t value_size, size;
        int r;

        assert(w->size > 0);
        assert(key_size <= KEY_TEXT_MAX);
        if (w->points >= ROW_KEYS_MAX)
                return -ENOSPC;
        if (w->points > 0)
                *p++ = ',';
        p += json_quote(p, key, key_size);
        *p++ = ':';
        r = write_value(p, v, decimals, &value_size);
        if (r < 0)
                return r;
        size = (size_t)(p - w->text) + value_size;
        if (size + 1 > ROW_TEXT_MAX)
                return w->points == 0 || size - w->size + 1 > ROW_TEXT_MAX ? -E2BIG : -ENOSPC;
        w->size = size;
        w->points++;
        return 0;
}

const char *row_writer_text(RowWriter *w, size_t *ret_size) {
        w->text[w->size] = '}';
        *ret_size = w->size + 1;
        return w->text;
}

/* ---- cutter */

/* Where the string that starts at `at` ends: behind its closing quote. */
static size_t string_end(const char *text, size_t size, size_t at) {
        for (at++; at < size; at++) {
                at += json_plain(text + at, size - at);
                if (at < size && text[at] == '"')
                        return at + 1;
                if (at < size && text[at] == '\\')
                        at++;
        }
        return size;
}

/* The comma or brace behind the member that starts at `at`. */
static size_t member_end(const char *text, size_t size, size_t at) {
        unsigned depth = 0;

        while (at < size)
                switch (text[at]) {
                case '"':
                        at = string_end(text, size, at);
                        break;
                case '{':
                case '[':
                        depth++;
                        at++;
                        break;
                case '}':
                case ']':
                        if (depth == 0)
                                return at;
                        depth--;
                        at++;
                        break;
                case ',':
                        if (depth == 0)
                                return at;
                        at++;
                        break;
                default:
                        at++;
                }
        return size;
}

int row_cut(const char *text, size_t size, size_t from, uint32_t max_points, size_t max_size, size_t *ret_start, size_t *ret_len,
            uint32_t *ret_points, size_t *ret_next) {
        size_t start = MAX(from, (size_t)1), end = start, next = start;
        uint32_t points = 0;
        JsonScan s = { text + MIN(start, size), text + size };

        json_skip_blanks(&s);
        if (s.p == s.end || *s.p == '}') /* no member at all */
                next = size;
        while (points < max_points && next < size) {
                size_t stop = member_end(text, size, next);

                if (stop - start + 2 > max_size)
                        break;
                points++;
                end = stop;
                next = stop < size && text[stop] == ',' ? stop + 1 : size;
        }
        if (points == 0 && next < size)
                return -E2BIG;
        *ret_start = start;
        *ret_len = end - start;
        *ret_points = points;
        *ret_next = next;
        return 0;
}

/* ---- record */

typedef struct RecordHead {
        uint16_t text_size;
        uint8_t device_size;
        uint8_t flags;
        uint32_t points;
        uint64_t boottime_ns;
} RecordHead;

_Static_assert(sizeof(RecordHead) == 16, "a record's head has no padding");
_Static_assert(ROW_TEXT_MAX <= UINT16_MAX && ROW_DEVICE_MAX <= UINT8_MAX, "lengths fit");

static bool head_is_valid(size_t text_size, size_t device_size, uint32_t points, uint32_t flags) {
        return text_size >= 2 && text_size <= ROW_TEXT_MAX && device_size <= ROW_DEVICE_MAX && points >= 1 &&
               points <= ROW_KEYS_MAX && (flags & ~(ROW_IMMEDIATE | ROW_STRICT)) == 0;
}

size_t row_encoded_size(const Row *row) {
        return sizeof(RecordHead) + row->device_size + row->text_size;
}

size_t row_encode(uint8_t *out, const Row *row) {
        RecordHead head = {
                .text_size = htole16((uint16_t)row->text_size),
                .device_size = (uint8_t)row->device_size,
                .flags = (uint8_t)row->flags,
                .points = htole32(row->points),
                .boottime_ns = htole64((uint64_t)row->boottime_ns),
        };

        assert(head_is_valid(row->text_size, row->device_size, row->points, row->flags));
        out = mempcpy(out, &head, sizeof(head));
        if (row->device_size > 0)
                out = mempcpy(out, row->device, row->device_size);
        memcpy(out, row->text, row->text_size);
        return row_encoded_size(row);
}

int row_decode(const uint8_t **data, size_t *size, Row *ret) {
        RecordHead head;
        size_t text_size, total;
        uint32_t points;
        const char *p;

        if (*size < sizeof(head))
                return -EBADMSG;
        memcpy(&head, *data, sizeof(head));
        text_size = le16toh(head.text_size);
        points = le32toh(head.points);
        total = sizeof(head) + head.device_size + text_size;
        if (!head_is_valid(text_size, head.device_size, points, head.flags) || total > *size)
                return -EBADMSG;
        p = (const char *)*data + sizeof(head);
        *ret = (Row){
                .boottime_ns = (int64_t)le64toh(head.boottime_ns),
                .points = points,
                .flags = head.flags,
                .device = p,
                .device_size = head.device_size,
                .text = p + head.device_size,
                .text_size = text_size,
        };
        *data += total;
        *size -= total;
        return 0;
}
