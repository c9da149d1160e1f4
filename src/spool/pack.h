/* SPDX-License-Identifier: Apache-2.0 */
/* Records turned by a quarter before they are compressed: the numbers of all rows column by column, each as its
 * difference to the one before where it rises, then all devices, then all texts; checksums are left out, as a
 * block has one of its own. zstd makes a third of that of what it makes of the records. Pure; fuzzed. */
#pragma once

#include "spool/record.h"

typedef struct Packed {
        size_t size;
        uint64_t first, last;     /* numbers of the first and the last row */
        int64_t from_ns, to_ns;   /* earliest and latest time of a row */
} Packed;

/* The records must be `rows` whole ones whose numbers rise. out has room for `size` bytes: it never takes more.
 * -EBADMSG: they are not; -ENOMEM. */
_must_check_ int pack_write(const uint8_t *records, size_t size, uint32_t rows, uint8_t *out, Packed *ret);
/* Back into exactly records_size bytes; ret->size is records_size. -EBADMSG: not what pack_write() makes. */
_must_check_ int pack_read(const uint8_t *data, size_t size, uint32_t rows, uint8_t *records, size_t records_size, Packed *ret);
