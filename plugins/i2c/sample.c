/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All chips of an instance are measured together: the conversions of all are started, the longest is waited for once,
 * then all are read. So ten chips cost one wait.
 *
 *   START  start() -> READ
 *   READ   read() 0 -> DONE; READ_MORE (the next input, another gain) -> START; -EAGAIN (it still measures) -> READ
 *          after a shorter wait, a few times; -EBADMSG (wrong checksum) -> START, at most `retries` times;
 *          anything else -> DONE, and all quantities of the chip are bad
 *
 * A chip that failed, or had a value that is none, is initialised anew at the next sample: it may have been away, and
 * does not remember then what it was told.
 */
#include "i2c.h"

#define ROUNDS_MAX    32
#define POLLS_MAX     8
#define POLL_MIN_USEC 1000u

static void device_end(Device *d, int error) {
        d->stage = STAGE_DONE;
        d->error = error;
        if (error == 0)
                return;
        device_tell(d, error);
        for (size_t i = 0; i < d->n; i++)
                device_bad(d, i, d->why);
}

static void device_begin(Device *d) {
        int r = 0;

        d->stage = STAGE_START;
        d->restarts = d->polls = 0;
        for (size_t i = 0; i < d->n; i++)
                d->readings[i] = (Reading){READING_NONE, 0, NULL};
        if (d->invalid[0])
                r = device_fail(d, -EINVAL, "%s", d->invalid);
        else if (!d->ready)
                r = device_init(d);
        if (r < 0)
                device_end(d, r);
}

static void device_start(Device *d) {
        int r;

        d->wait_usec = 0;
        r = d->driver->start ? d->driver->start(d, &d->wait_usec) : 0;
        if (r < 0)
                device_end(d, r);
        else
                d->stage = STAGE_READ;
}

static void device_take(Device *d, unsigned retries) {
        int r;

        r = d->driver->read(d);
        if (r == READ_MORE) {
                d->stage = STAGE_START;
                d->polls = 0;
        } else if (r == -EAGAIN && d->polls++ < POLLS_MAX)
                d->wait_usec = d->wait_usec / 4 > POLL_MIN_USEC ? d->wait_usec / 4 : POLL_MIN_USEC;
        else if (r == -EAGAIN)
                device_end(d, device_fail(d, -ETIME, "0x%02x: its measurement does not end", d->route.address));
        else if (r == -EBADMSG && d->restarts++ < retries)
                d->stage = STAGE_START;
        else
                device_end(d, r);
}

static uint32_t wait_longest(Device *const *devices, size_t n, bool *ret_pending) {
        uint32_t usec = 0;

        *ret_pending = false;
        for (size_t i = 0; i < n; i++)
                if (devices[i]->stage == STAGE_READ) {
                        *ret_pending = true;
                        if (devices[i]->wait_usec > usec)
                                usec = devices[i]->wait_usec;
                }
        return usec;
}

void devices_measure(Device *const *devices, size_t n) {
        bool pending = true;
        uint32_t usec;

        for (size_t i = 0; i < n; i++)
                device_begin(devices[i]);
        for (int round = 0; pending && round < ROUNDS_MAX; round++) {
                for (size_t i = 0; i < n; i++)
                        if (devices[i]->stage == STAGE_START)
                                device_start(devices[i]);
                usec = wait_longest(devices, n, &pending);
                if (usec > 0)
                        bus_wait(usec);
                for (size_t i = 0; i < n; i++)
                        if (devices[i]->stage == STAGE_READ)
                                device_take(devices[i], bus_retries(devices[i]->bus));
        }
        for (size_t i = 0; i < n; i++)
                if (devices[i]->stage != STAGE_DONE)
                        device_end(devices[i], device_fail(devices[i], -ETIME, "its measurement does not end"));
}

static void reading_emit(struct tbagent_host *host, const Device *d, size_t i) {
        double value = d->readings[i].value;

        switch (d->quantities[i].kind) {
        case KIND_NUMBER:
                tbagent_emit_double(host, d->keys[i], value);
                break;
        case KIND_WHOLE:
                tbagent_emit_int(host, d->keys[i], (int64_t)value);
                break;
        case KIND_BOOL:
                tbagent_emit_bool(host, d->keys[i], value != 0);
                break;
        }
}

static void bad_emit(struct tbagent_host *host, Device *d, const char *key, const char *why, Tally *tally) {
        tally->bad++;
        d->ready = false; /* it may have been away: as after power-on, next time */
        tbagent_emit_bad(host, key, why);
        if (tally->error == 0) {
                tally->error = d->error ? d->error : -ERANGE;
                tally->why = why;
        }
}

static void device_emit(struct tbagent_host *host, Device *d, Tally *tally) {
        if (d->n == 0)
                bad_emit(host, d, d->name, d->invalid, tally); /* the configuration leaves nothing to read of it */
        for (size_t i = 0; i < d->n; i++) {
                const Reading *reading = &d->readings[i];

                switch (reading->state) {
                case READING_NONE:
                        tally->none++;
                        break;
                case READING_GOOD:
                        tally->good++;
                        reading_emit(host, d, i);
                        break;
                case READING_BAD:
                        bad_emit(host, d, d->keys[i], reading->why, tally);
                        break;
                }
        }
}

void devices_emit(struct tbagent_host *host, Device *const *devices, size_t n, Tally *tally) {
        for (size_t i = 0; i < n; i++)
                device_emit(host, devices[i], tally);
}
