/* SPDX-License-Identifier: Apache-2.0 */
/* What a plugin host has to say and the daemon has not read yet. A host never waits for its socket: rows are
 * queued up to a bound, then the oldest go, counted, and a GAP frame tells of them before the next rows. */
#pragma once

#include "model/frame.h"
#include "model/row.h"

#define OUTBOX_ROWS_MAX (256 * KIB)
#define OUTBOX_CONTROL_MAX (256 * KIB) /* of all other frames; log lines go first */

typedef struct Outbox Outbox;

/* fd: a SEQPACKET socket, borrowed. rows_max: bytes of encoded rows. */
_must_check_ int outbox_new(Outbox **ret, int fd, size_t rows_max);
Outbox *outbox_free(Outbox *o);
DEFINE_CLEANUP(Outbox *, outbox_free)

void outbox_add_row(Outbox *o, const Row *row);
/* Points that were lost before they became a row. */
void outbox_add_gap(Outbox *o, uint32_t points, int64_t from_ns, int64_t to_ns, const char *why);

/* Queues a frame, arguments as frame_build(); 0, -EMSGSIZE, -ENOBUFS, -ENOMEM. */
#define outbox_send(o, type, ...) \
        outbox_push((o), (type), frame_build(outbox_scratch(o), (type)__VA_OPT__(, ) __VA_ARGS__), -EBADF)
/* A copy of fd goes with it. */
#define outbox_send_fd(o, fd, type, ...) \
        outbox_push((o), (type), frame_build(outbox_scratch(o), (type)__VA_OPT__(, ) __VA_ARGS__), (fd))
uint8_t *outbox_scratch(Outbox *o); /* FRAME_SIZE_MAX bytes */
int outbox_push(Outbox *o, FrameType type, ssize_t size, int fd);

/* Sends what the socket takes. 1: all is out; 0: the rest waits for EPOLLOUT; negative: nobody reads any more. */
int outbox_flush(Outbox *o);
/* The same, waiting at most `wait`: before the end of the process. */
int outbox_drain(Outbox *o, usec_t wait);
uint64_t outbox_dropped(const Outbox *o); /* points */
