/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One list of items in the order in which they were said. Rows gather in the last item until it is full or
 * sent, so that a call of the plugin costs one datagram; other frames are items of their own. Over the bound
 * rows leave from the front, one by one and not by the datagram. What is lost is told by one GAP frame, ahead
 * of the rows that come behind the gap; while the socket stays full, losses add up in it.
 *
 * The daemon takes its time on purpose (its intake budget); an unread socket is not an error. FRAME_ROWS_ACK
 * is not needed for any of this: what the kernel has taken is read even when this process is gone.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <time.h>

#include "sensor/outbox.h"
#include "sensor/wire.h"

#define ROWS_ITEM_SIZE (16 * KIB)

typedef struct Item Item;
struct Item {
        Item *next;
        FrameType type;
        int fd; /* -EBADF: none; owned */
        size_t start, end, size; /* of data; rows leave at start and come at end */
        uint8_t data[];
};

struct Outbox {
        int fd;
        Item *first, *last;
        size_t rows_max, rows_size, control_size;
        uint64_t dropped;

        uint64_t gap_points;
        int64_t gap_from, gap_to;
        char gap_why[96];

        uint8_t scratch[FRAME_SIZE_MAX];
};

static Item *item_free(Item *i) {
        if (i)
                closep(&i->fd);
        free(i);
        return NULL;
}

static Item *item_append(Outbox *o, FrameType type, size_t size) {
        Item *i = malloc(sizeof *i + size);

        if (!i)
                return NULL;
        *i = (Item){ .type = type, .fd = -EBADF, .size = size };
        if (o->last)
                o->last->next = i;
        else
                o->first = i;
        o->last = i;
        return i;
}

static void item_remove(Outbox *o, Item *before, Item *i) {
        if (i->type == FRAME_ROWS)
                o->rows_size -= i->end - i->start;
        else
                o->control_size -= i->end;
        if (before)
                before->next = i->next;
        else
                o->first = i->next;
        if (o->last == i)
                o->last = before;
        item_free(i);
}

static bool remove_oldest(Outbox *o, FrameType type) {
        for (Item *before = NULL, *i = o->first; i; before = i, i = i->next)
                if (i->type == type) {
                        item_remove(o, before, i);
                        return true;
                }
        return false;
}

int outbox_new(Outbox **ret, int fd, size_t rows_max) {
        Outbox *o = calloc(1, sizeof *o);

        if (!o)
                return -ENOMEM;
        o->fd = fd;
        o->rows_max = rows_max;
        *ret = o;
        return 0;
}

Outbox *outbox_free(Outbox *o) {
        if (!o)
                return NULL;
        while (o->first)
                item_remove(o, NULL, o->first);
        free(o);
        return NULL;
}

/* ---- losses */

static void gap_push(Outbox *o) {
        if (o->gap_points == 0)
                return;
        if (outbox_send(o, FRAME_GAP, o->gap_points, o->gap_from, o->gap_to, o->gap_why) == 0)
                o->gap_points = 0;
}

void outbox_add_gap(Outbox *o, uint32_t points, int64_t from_ns, int64_t to_ns, const char *why) {
        if (o->gap_points > 0 && !streq(o->gap_why, why))
                gap_push(o);
        if (o->gap_points == 0) {
                o->gap_from = from_ns;
                o->gap_to = to_ns;
                snprintf(o->gap_why, sizeof o->gap_why, "%s", why);
        }
        o->gap_points += points;
        o->gap_from = MIN(o->gap_from, from_ns);
        o->gap_to = MAX(o->gap_to, to_ns);
        o->dropped += points;
}

static bool drop_oldest_row(Outbox *o) {
        for (Item *before = NULL, *i = o->first; i; before = i, i = i->next) {
                const uint8_t *data = i->data + i->start;
                size_t size = i->end - i->start, before_size = size;
                Row row;

                if (i->type != FRAME_ROWS)
                        continue;
                if (row_decode(&data, &size, &row) == 0) {
                        outbox_add_gap(o, row.points, row.boottime_ns, row.boottime_ns, "host queue full");
                        i->start += before_size - size;
                        o->rows_size -= before_size - size;
                }
                if (size == 0 || size == before_size)
                        item_remove(o, before, i);
                return true;
        }
        return false;
}

/* ---- in */

void outbox_add_row(Outbox *o, const Row *row) {
        size_t size = row_encoded_size(row);
        Item *i = o->last;

        if (!i || i->type != FRAME_ROWS || i->end + size > i->size) {
                if (i && i->type == FRAME_ROWS)
                        (void)outbox_flush(o);
                while (o->rows_size + size > o->rows_max && drop_oldest_row(o))
                        ;
                i = item_append(o, FRAME_ROWS, MAX(size, ROWS_ITEM_SIZE));
                if (!i) {
                        outbox_add_gap(o, row->points, row->boottime_ns, row->boottime_ns, "out of memory");
                        return;
                }
        }
        row_encode(i->data + i->end, row);
        i->end += size;
        o->rows_size += size;
}

uint8_t *outbox_scratch(Outbox *o) {
        return o->scratch;
}

int outbox_push(Outbox *o, FrameType type, ssize_t size, int fd) {
        int copy = -EBADF;
        Item *i;

        if (size < 0)
                return (int)size;
        if (type == FRAME_PUT)
                (void)remove_oldest(o, FRAME_PUT); /* only the newest state counts */
        while (o->control_size + (size_t)size > OUTBOX_CONTROL_MAX)
                if (!remove_oldest(o, FRAME_LOG))
                        return -ENOBUFS;
        if (fd >= 0) {
                copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
                if (copy < 0)
                        return -errno;
        }
        i = item_append(o, type, (size_t)size);
        if (!i) {
                closep(&copy);
                return -ENOMEM;
        }
        i->fd = copy;
        i->end = (size_t)size;
        memcpy(i->data, o->scratch, (size_t)size);
        o->control_size += (size_t)size;
        return 0;
}

/* ---- out */

/* 1: sent; 0: no room. */
static int datagram_send(const Outbox *o, const void *data, size_t size, int fd) {
        int r = wire_send(o->fd, data, size, fd);

        return r == -EAGAIN ? 0 : r < 0 ? r : 1;
}

static int item_send(Outbox *o, const Item *i) {
        ssize_t size;

        if (i->type != FRAME_ROWS)
                return datagram_send(o, i->data, i->end, i->fd);
        size = frame_build(o->scratch, FRAME_ROWS, i->data + i->start, i->end - i->start);
        return size < 0 ? (int)size : datagram_send(o, o->scratch, (size_t)size, -EBADF);
}

/* A loss is told before the rows behind it, so in front of the queue. */
static int gap_send(Outbox *o) {
        ssize_t size = frame_build(o->scratch, FRAME_GAP, o->gap_points, o->gap_from, o->gap_to, o->gap_why);
        int r = size < 0 ? (int)size : datagram_send(o, o->scratch, (size_t)size, -EBADF);

        if (r > 0)
                o->gap_points = 0;
        return r;
}

int outbox_flush(Outbox *o) {
        while (o->gap_points > 0 || o->first) {
                bool gap = o->gap_points > 0;
                int r = gap ? gap_send(o) : item_send(o, o->first);

                if (r <= 0)
                        return r;
                if (!gap)
                        item_remove(o, NULL, o->first);
        }
        return 1;
}

static int64_t monotonic_ms(void) {
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (int64_t)t.tv_sec * 1000 + t.tv_nsec / NSEC_PER_MSEC;
}

int outbox_drain(Outbox *o, usec_t wait) {
        int64_t end = monotonic_ms() + (int64_t)(wait / USEC_PER_MSEC);

        for (;;) {
                int64_t left = end - monotonic_ms();
                int r = outbox_flush(o);

                if (r != 0 || left <= 0)
                        return r;
                (void)poll(&(struct pollfd){ .fd = o->fd, .events = POLLOUT }, 1, (int)left);
        }
}

uint64_t outbox_dropped(const Outbox *o) {
        return o->dropped;
}
