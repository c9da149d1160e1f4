/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SCD40, SCD41, SCD43: carbon dioxide, temperature and humidity.
 * Sensirion Data Sheet SCD4x (1.3, 2022): commands table 9, start and read 3.5, data ready 3.8.2, serial number 3.9.2.
 *
 * It measures by itself every 5 s and hands a measurement out once. A sample in between has nothing new, which is no
 * fault; without anything for 16 s it is ill. It has to be stopped before it can be started, since nobody knows what
 * it was told before:
 *
 *   STOP (0.5 s) -> SERIAL (is it one?) -> BEGIN -> STATUS <-> TAKE
 */
#include "../words.h"

#define CMD_STOP      0x3f86
#define CMD_SERIAL    0x3682
#define CMD_BEGIN     0x21b1
#define CMD_STATUS    0xe4b8
#define CMD_TAKE      0xec05
#define STOP_USEC     500000u
#define COMMAND_USEC  1000u
#define READY         0x07ff
#define OVERDUE_NS    INT64_C(16000000000)

typedef enum Phase { STOP, SERIAL, BEGIN, STATUS, TAKE } Phase;

typedef struct State {
        Phase phase;
        int64_t last_ns; /* when it began, or had a measurement */
} State;

static const Quantity quantities[] = {
        {"co2", "ppm", KIND_WHOLE, 0},
        {"temperature", "degrees Celsius", KIND_NUMBER, 2},
        {"humidity", "%", KIND_NUMBER, 2},
        {NULL, NULL, KIND_NUMBER, 0},
};

static int init(Device *d) {
        State *s = d->data;

        s->phase = STOP;
        return 0;
}

static int start(Device *d, uint32_t *ret_usec) {
        static const uint16_t commands[] = {CMD_STOP, CMD_SERIAL, CMD_BEGIN, CMD_STATUS, CMD_TAKE};
        const State *s = d->data;

        *ret_usec = s->phase == STOP ? STOP_USEC : COMMAND_USEC;
        return words_command(d, commands[s->phase]);
}

static int status_read(Device *d, State *s) {
        uint16_t word;
        int r;

        r = words_read(d, &word, 1);
        if (r < 0)
                return r;
        if (word & READY) {
                s->phase = TAKE;
                return READ_MORE;
        }
        if (tbagent_now(d->host) - s->last_ns > OVERDUE_NS)
                return device_fail(d, -ETIME, "0x%02x has no new measurement", d->route.address);
        return 0;
}

static int measurement_read(Device *d, State *s) {
        uint16_t words[3];
        int r;

        s->phase = STATUS; /* a measurement whose checksum is wrong is gone: the next one is waited for */
        r = words_read(d, words, 3);
        if (r < 0)
                return r;
        s->last_ns = tbagent_now(d->host);
        if (words[0] == 0)
                device_bad(d, 0, "carbon dioxide was not measured");
        else
                device_good(d, 0, words[0]);
        device_good(d, 1, words_celsius(words[1]));
        device_good(d, 2, words_percent(words[2]));
        return 0;
}

static int read_phase(Device *d) {
        State *s = d->data;
        uint16_t serial[3];
        int r;

        switch (s->phase) {
        case STOP:
                s->phase = SERIAL;
                return READ_MORE;
        case SERIAL:
                r = words_read(d, serial, 3);
                if (r < 0)
                        return r;
                s->phase = BEGIN;
                return READ_MORE;
        case BEGIN:
                s->phase = STATUS;
                s->last_ns = tbagent_now(d->host);
                return 0;
        case STATUS:
                return status_read(d, s);
        case TAKE:
                return measurement_read(d, s);
        }
        return -EINVAL;
}

const Driver scd4x_driver = {
        .name = "scd4x",
        .what = "carbon dioxide, temperature and humidity",
        .addresses = "\x62",
        .quantities = quantities,
        .size = sizeof(State),
        .init = init,
        .start = start,
        .read = read_phase,
};
