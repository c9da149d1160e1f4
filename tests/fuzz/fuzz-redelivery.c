/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the file of requests that were taken. Whatever it says, a request that is run is known to the next process,
 * and so is each that the file knew. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "tb/redelivery.h"

#define RECORD 24 /* hash, acknowledged, id, check */
#define RECORDS 8 /* to look at */

static Loop *loop;
static char path[] = "/tmp/fuzz-redelivery-XXXXXX";

static void remove_file(void) {
        unlink(path);
}

static void put_file(const uint8_t *data, size_t size) {
        _cleanup_(closep) int fd = -EBADF;

        if (!loop) {
                if (loop_new_simulated(&loop, 0) < 0)
                        abort();
                fd = mkostemp(path, O_CLOEXEC);
                atexit(remove_file);
        } else
                fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
        if (fd < 0 || file_write_all(fd, data, size) < 0)
                abort();
}

static Redelivery *begin(void) {
        Redelivery *d;
        int file;

        if (redelivery_new(&d, loop, path, &file) < 0 || file < 0)
                abort();
        return d;
}

static Delivery take(Redelivery *d, uint32_t id, uint64_t hash, uint64_t *ret_token) {
        size_t size;
        Delivery got = redelivery_take(d, id, hash, "1", ret_token);

        if (got == DELIVERY_AGAIN && !redelivery_reply(d, *ret_token, &id, &size))
                abort();
        return got;
}

/* The requests that its records speak of, valid or not. */
static void check_record(const uint8_t *record) {
        uint64_t hash, token;
        uint32_t id;
        Redelivery *d = begin();

        memcpy(&hash, record, sizeof(hash));
        memcpy(&id, record + 16, sizeof(id));
        (void)take(d, id, hash, &token);
        if (take(d, id, hash, &token) == DELIVERY_NEW)
                abort();
        redelivery_free(d);
        d = begin();
        if (take(d, id, hash, &token) != DELIVERY_AGAIN)
                abort();
        redelivery_acked(d, token);
        redelivery_free(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        put_file(data, size);
        for (size_t at = sizeof(uint64_t), n = 0; at + RECORD <= size && n < RECORDS; at += RECORD, n++)
                check_record(data + at);
        redelivery_free(begin());
        return 0;
}
