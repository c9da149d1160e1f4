/* SPDX-License-Identifier: Apache-2.0 */
/* What a host sends as rows is checked here before it gets a sequence number: form, keys, owner. From then
 * on the daemon only copies bytes. Main thread. */
#pragma once

#include "agent/keys.h"
#include "spool/spool.h"

typedef struct IntakeResult {
        uint64_t rows, points;    /* accepted */
        uint64_t refused_rows;    /* not valid */
        uint64_t foreign_points;  /* of keys that another instance owns */
        unsigned foreign_owner;   /* of the last of them */
        char foreign_key[64];
        bool immediate;           /* an accepted row must not wait */
        int64_t first_ns;         /* BOOTTIME of the first accepted row */
        int error;                /* -EBADMSG: the frame itself is damaged; the rows before it were taken */
} IntakeResult;

/* data: the body of a ROWS frame. Points that are refused become gap records of `instance`. */
IntakeResult intake_rows(Spool *spool, Keys *keys, unsigned owner, const char *instance, int64_t now_ns, const uint8_t *data,
                         size_t size);
/* Appends {"key":value} of the daemon itself, owned by KEYS_AGENT. flags: of the row. */
_must_check_ int intake_own(Spool *spool, int64_t boottime_ns, const char *key, const Value *value, uint32_t flags);
