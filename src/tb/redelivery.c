/* SPDX-License-Identifier: Apache-2.0 */
/*
 *      NEW --> RUNNING --reply--> REPLIED --PUBACK--> ACKED --60 s--> the same id and body is a new request
 *                 |                  |
 *                 '---- the process ends: the file knows id and hash, but not the reply: INTERRUPTED
 *
 * The server's ids rise by one, but start again at 0 with its actor. That shows as an id far below those known (no downlink
 * is overtaken by a table of others), or as a known id with another body. What was known before is of no use then: what
 * runs still ends, but its reply goes nowhere, since under that id it would answer another request. Where a known id tells,
 * requests of the new count may have come already: they have lower ids and later tokens, and stay.
 *
 * The file is a record for each slot, written in one call before the request is run and once more when its reply is
 * acknowledged; it is on a tmpfs, where that costs a microsecond.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "tb/redelivery.h"

#define FILE_MAGIC UINT64_C(0x3163707274626174) /* "tabtrpc1" */

typedef enum SlotState { SLOT_FREE, SLOT_RUNNING, SLOT_REPLIED, SLOT_ACKED, SLOT_INTERRUPTED } SlotState;

typedef struct Slot {
        SlotState state;
        bool orphan; /* its id may be another request's by now */
        bool silent; /* there is no reply on purpose */
        uint32_t id;
        uint64_t hash, token;
        usec_t acked; /* BOOTTIME */
        char *reply;  /* NULL: silent, or not kept */
        size_t size;
} Slot;

typedef struct FileRecord {
        uint64_t hash;
        uint64_t acked; /* BOOTTIME usec; 0: not */
        uint32_t id;
        uint32_t check; /* of what stands before it; never that of zeros */
} FileRecord;

struct Redelivery {
        Loop *loop;
        int fd; /* -EBADF: none */
        Slot slots[REDELIVERY_MAX];
        uint64_t last_token;
        size_t bytes;
        unsigned running;
};

/* ---- the file */

static uint32_t check_of(const FileRecord *r) {
        return (uint32_t)XXH3_64bits(r, offsetof(FileRecord, check)) | 1;
}

static void file_write(const Redelivery *d, const Slot *s) {
        FileRecord r = { .hash = s->hash, .acked = s->state == SLOT_ACKED ? MAX(s->acked, (usec_t)1) : 0, .id = s->id };
        off_t at = (off_t)(sizeof(uint64_t) + (size_t)(s - d->slots) * sizeof(r));

        if (d->fd < 0)
                return;
        if (s->state == SLOT_FREE || s->orphan)
                r = (FileRecord){ 0 };
        else
                r.check = check_of(&r);
        (void)!pwrite(d->fd, &r, sizeof(r), at); /* a tmpfs; what is lost is told as running twice at worst */
}

/* Ids rise, so they tell which one is older: tokens have their order. */
static void file_load(Redelivery *d) {
        FileRecord r;

        for (size_t i = 0; i < REDELIVERY_MAX; i++) {
                off_t at = (off_t)(sizeof(uint64_t) + i * sizeof(r));

                if (pread(d->fd, &r, sizeof(r), at) != (ssize_t)sizeof(r))
                        return;
                if (r.check != check_of(&r))
                        continue;
                d->slots[i] = (Slot){ .state = r.acked > 0 ? SLOT_ACKED : SLOT_INTERRUPTED, .id = r.id, .hash = r.hash,
                                      .token = UINT64_C(1) + r.id, .acked = r.acked };
                d->last_token = MAX(d->last_token, UINT64_C(1) + r.id);
        }
}

static int file_open(Redelivery *d, const char *path) {
        const uint64_t magic = FILE_MAGIC;
        uint64_t found = 0;

        d->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (d->fd < 0)
                return -errno;
        if (pread(d->fd, &found, sizeof(found), 0) == (ssize_t)sizeof(found) && found == magic) {
                file_load(d);
                return 0;
        }
        if (ftruncate(d->fd, 0) < 0 || pwrite(d->fd, &magic, sizeof(magic), 0) != (ssize_t)sizeof(magic))
                return errno ? -errno : -ENOSPC;
        return 0;
}

/* ---- slots */

static void drop_reply(Redelivery *d, Slot *s) {
        d->bytes -= s->size;
        free(s->reply);
        s->reply = NULL;
        s->size = 0;
}

static void slot_free(Redelivery *d, Slot *s) {
        d->running -= s->state == SLOT_RUNNING;
        drop_reply(d, s);
        *s = (Slot){ .state = SLOT_FREE };
        file_write(d, s);
}

static Slot *find_token(const Redelivery *d, uint64_t token) {
        for (size_t i = 0; i < REDELIVERY_MAX; i++)
                if (d->slots[i].state != SLOT_FREE && d->slots[i].token == token)
                        return (Slot *)&d->slots[i];
        return NULL;
}

static Slot *find_id(Redelivery *d, uint32_t id) {
        for (size_t i = 0; i < REDELIVERY_MAX; i++)
                if (d->slots[i].state != SLOT_FREE && !d->slots[i].orphan && d->slots[i].id == id)
                        return &d->slots[i];
        return NULL;
}

static void forget(Redelivery *d, Slot *s) {
        if (s->state == SLOT_RUNNING) {
                s->orphan = true;
                file_write(d, s);
        } else if (s->state != SLOT_FREE)
                slot_free(d, s);
}

/* The ids have started again, as this slot's shows; NULL: as one shows that is far below all. */
static void forget_former(Redelivery *d, const Slot *shows) {
        uint64_t token = shows ? shows->token : UINT64_MAX;
        uint32_t id = shows ? shows->id : 0;

        for (size_t i = 0; i < REDELIVERY_MAX; i++) {
                Slot *s = &d->slots[i];

                if (s->token <= token || (s->state != SLOT_RUNNING && s->id > id))
                        forget(d, s);
        }
}

static bool is_far_below(const Redelivery *d, uint32_t id) {
        for (size_t i = 0; i < REDELIVERY_MAX; i++)
                if (d->slots[i].state != SLOT_FREE && !d->slots[i].orphan && d->slots[i].id > id + REDELIVERY_MAX)
                        return true;
        return false;
}

static int rank(const Slot *s) {
        switch (s->state) {
        case SLOT_FREE:
                return 0;
        case SLOT_ACKED:
                return 1;
        case SLOT_REPLIED:
        case SLOT_INTERRUPTED:
                return 2;
        case SLOT_RUNNING:
                break;
        }
        return 3;
}

/* What is done with goes first, then what has no acknowledged reply; each time the oldest. */
static bool goes_before(const Slot *a, const Slot *b) {
        return rank(a) != rank(b) ? rank(a) < rank(b) : a->token < b->token;
}

static Slot *slot_obtain(Redelivery *d) {
        Slot *found = &d->slots[0];

        for (size_t i = 1; i < REDELIVERY_MAX; i++)
                if (goes_before(&d->slots[i], found))
                        found = &d->slots[i];
        if (found->state == SLOT_RUNNING)
                return NULL;
        if (found->state != SLOT_FREE)
                slot_free(d, found);
        return found;
}

static Delivery begin(Redelivery *d, uint32_t id, uint64_t hash, uint64_t *ret_token) {
        Slot *s = d->running < REDELIVERY_RUNNING_MAX ? slot_obtain(d) : NULL;

        if (!s)
                return DELIVERY_BUSY;
        *s = (Slot){ .state = SLOT_RUNNING, .id = id, .hash = hash, .token = ++d->last_token };
        d->running++;
        file_write(d, s);
        *ret_token = s->token;
        return DELIVERY_NEW;
}

/* ---- */

static bool is_over(const Redelivery *d, const Slot *s) {
        return s->state == SLOT_ACKED && loop_boottime(d->loop) - s->acked >= REDELIVERY_KEEP;
}

static void keep_reply(Redelivery *d, Slot *s, const char *json, size_t size) {
        if (s->state == SLOT_RUNNING)
                d->running--;
        s->state = SLOT_REPLIED;
        s->reply = json ? malloc(size + 1) : NULL;
        if (!s->reply)
                return;
        memcpy(s->reply, json, size);
        s->reply[size] = '\0';
        s->size = size;
        d->bytes += size;
}

static void stay_silent(const Redelivery *d, Slot *s) {
        s->silent = true; /* which needs no PUBACK */
        s->state = SLOT_ACKED;
        s->acked = loop_boottime(d->loop);
        file_write(d, s);
}

static Slot *oldest_text(Redelivery *d, SlotState state) {
        Slot *found = NULL;

        for (size_t i = 0; i < REDELIVERY_MAX; i++) {
                Slot *s = &d->slots[i];

                if (s->reply && s->state == state && (!found || s->token < found->token))
                        found = s;
        }
        return found;
}

/* Texts of the oldest replies go, acknowledged ones first; the rest stays known. */
static void make_room(Redelivery *d) {
        while (d->bytes > REDELIVERY_BYTES_MAX) {
                Slot *s = oldest_text(d, SLOT_ACKED);

                if (!s)
                        s = oldest_text(d, SLOT_REPLIED);
                if (!s)
                        return;
                drop_reply(d, s);
        }
}

Delivery redelivery_take(Redelivery *d, uint32_t id, uint64_t hash, const char *interrupted, uint64_t *ret_token) {
        Slot *s = find_id(d, id);

        if (s ? s->hash != hash : is_far_below(d, id)) {
                forget_former(d, s);
                s = NULL;
        }
        if (s && is_over(d, s)) {
                slot_free(d, s);
                s = NULL;
        }
        if (!s)
                return begin(d, id, hash, ret_token);
        if (s->state == SLOT_RUNNING || s->silent)
                return DELIVERY_RUNNING;
        if (!s->reply && !interrupted) {
                stay_silent(d, s);
                return DELIVERY_RUNNING;
        }
        if (!s->reply)
                keep_reply(d, s, interrupted, strlen(interrupted));
        *ret_token = s->token;
        return DELIVERY_AGAIN;
}

int redelivery_set_reply(Redelivery *d, uint64_t token, const char *json, size_t size) {
        Slot *s = find_token(d, token);

        if (!s || s->state != SLOT_RUNNING)
                return -ENOENT;
        if (s->orphan) {
                slot_free(d, s);
                return 0;
        }
        keep_reply(d, s, json, size);
        make_room(d);
        if (!json)
                stay_silent(d, s);
        return 0;
}

const char *redelivery_reply(const Redelivery *d, uint64_t token, uint32_t *ret_id, size_t *ret_size) {
        const Slot *s = find_token(d, token);

        if (!s || s->orphan || !s->reply)
                return NULL;
        *ret_id = s->id;
        *ret_size = s->size;
        return s->reply;
}

void redelivery_acked(Redelivery *d, uint64_t token) {
        Slot *s = find_token(d, token);

        if (!s || (s->state != SLOT_REPLIED && s->state != SLOT_ACKED))
                return;
        s->state = SLOT_ACKED;
        s->acked = loop_boottime(d->loop);
        file_write(d, s);
        make_room(d);
}

int redelivery_new(Redelivery **ret, Loop *loop, const char *path, int *ret_file) {
        _cleanup_(redelivery_freep) Redelivery *d = calloc(1, sizeof(*d));

        if (!d)
                return -ENOMEM;
        d->loop = loop;
        d->fd = -EBADF;
        *ret_file = path ? file_open(d, path) : 0;
        if (*ret_file < 0)
                closep(&d->fd), d->fd = -EBADF;
        *ret = TAKE_PTR(d);
        return 0;
}

Redelivery *redelivery_free(Redelivery *d) {
        if (!d)
                return NULL;
        for (size_t i = 0; i < REDELIVERY_MAX; i++)
                free(d->slots[i].reply);
        closep(&d->fd);
        free(d);
        return NULL;
}
