/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hot path of the daemon: decode, validate, claim each key, append. The common row is copied as it is;
 * only a row that holds keys of somebody else is written anew without them.
 */
#include "agent/intake.h"

/* emit_at may lie in the past as far as it likes, but a row of tomorrow is a fault. */
#define AHEAD_MAX_NS (3600 * NSEC_PER_SEC)

typedef struct Door {
        Keys *keys;
        unsigned owner;
        IntakeResult *result;
        uint32_t foreign; /* in the row at hand */
        char *kept;       /* members that stay, where one is foreign */
        size_t kept_size;
} Door;

static int claim_member(void *userdata, const char *key, size_t key_size, const char *value _unused_,
                        size_t value_size _unused_) {
        Door *d = userdata;
        unsigned owner = 0;
        int r = keys_claim(d->keys, key, key_size, d->owner, &owner);

        if (r == 0)
                return 0;
        d->foreign++;
        d->result->foreign_owner = r > 0 ? owner : d->owner;
        size_t n = MIN(key_size, sizeof(d->result->foreign_key) - 1);
        memcpy(d->result->foreign_key, key, n);
        d->result->foreign_key[n] = '\0';
        return 0;
}

static int keep_member(void *userdata, const char *key, size_t key_size, const char *value, size_t value_size) {
        Door *d = userdata;
        unsigned owner = 0;
        char *p = d->kept + d->kept_size;

        if (keys_claim(d->keys, key, key_size, d->owner, &owner) != 0)
                return 0;
        *p++ = d->kept_size == 0 ? '{' : ',';
        *p++ = '"';
        p = mempcpy(p, key, key_size);
        p = mempcpy(p, "\":", 2);
        p = mempcpy(p, value, value_size);
        d->kept_size = (size_t)(p - d->kept);
        return 0;
}

/* Appends row without the members that are not its instance's. */
static int append_own_part(Spool *spool, Door *d, Row *row) {
        char text[ROW_TEXT_MAX + 2];
        uint32_t points;
        int r;

        d->kept = text;
        d->kept_size = 0;
        r = row_validate(row->text, row->text_size, keep_member, d, &points);
        if (r < 0 || d->kept_size == 0)
                return r;
        text[d->kept_size++] = '}';
        row->text = text;
        row->text_size = d->kept_size;
        row->points = points - d->foreign;
        return spool_append(spool, row, NULL);
}

/* 0 taken, < 0 refused. */
static int take_row(Spool *spool, Door *d, Row *row, int64_t now_ns) {
        uint32_t points = 0;
        int r;

        d->foreign = 0;
        if (row->device_size > 0 || row->boottime_ns > now_ns + AHEAD_MAX_NS)
                return -EBADMSG;
        r = row_validate(row->text, row->text_size, claim_member, d, &points);
        if (r < 0)
                return r;
        if (points == 0)
                return -EBADMSG;
        row->points = points;
        if (d->foreign == 0)
                return spool_append(spool, row, NULL);
        d->result->foreign_points += d->foreign;
        return append_own_part(spool, d, row);
}

static IntakeResult take_rows(Spool *spool, Keys *keys, unsigned owner, const char *instance, int64_t now_ns, const uint8_t *data,
                              size_t size) {
        IntakeResult result = { 0 };
        Door door = { .keys = keys, .owner = owner, .result = &result };

        while (size > 0) {
                Row row;
                result.error = row_decode(&data, &size, &row);
                if (result.error < 0)
                        return result;
                if (take_row(spool, &door, &row, now_ns) < 0) {
                        result.refused_rows++;
                        spool_record_gap(spool, instance, "not a valid row", MAX(row.points, 1u), row.boottime_ns,
                                         row.boottime_ns);
                        continue;
                }
                if (door.foreign > 0)
                        spool_record_gap(spool, instance,
                                         result.foreign_owner == owner        ? "too many keys"
                                         : result.foreign_owner == KEYS_AGENT ? "key of the daemon itself"
                                                                              : "key of another instance",
                                         door.foreign, row.boottime_ns, row.boottime_ns);
                if (door.foreign > 0 && door.kept_size == 0)
                        continue;
                if (result.rows++ == 0)
                        result.first_ns = row.boottime_ns;
                result.points += row.points;
                result.immediate |= row.flags & ROW_IMMEDIATE;
        }
        return result;
}

IntakeResult intake_rows(Spool *spool, Keys *keys, unsigned owner, const char *instance, int64_t now_ns, const uint8_t *data,
                         size_t size) {
        IntakeResult result;

        spool_gather(spool, true); /* a frame is accepted as a whole */
        result = take_rows(spool, keys, owner, instance, now_ns, data, size);
        spool_gather(spool, false);
        return result;
}

int intake_own(Spool *spool, int64_t boottime_ns, const char *key, const Value *value, uint32_t flags) {
        _cleanup_(freep) RowWriter *writer = malloc(sizeof(*writer)); /* 37 KiB: a stack would keep the pages */
        Row row = { .boottime_ns = boottime_ns, .points = 1, .flags = flags, .device = "" };
        int r;

        if (!writer)
                return -ENOMEM;
        row_writer_reset(writer);
        r = row_writer_add(writer, key, strlen(key), value, -1);
        if (r < 0)
                return r;
        row.text = row_writer_text(writer, &row.text_size);
        return spool_append(spool, &row, NULL);
}
