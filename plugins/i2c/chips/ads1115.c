/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ADS1115: four inputs, as voltages against ground or between two of them, one conversion after the other.
 * TI ADS1115 (SBAS444E): registers section 8.6, full-scale ranges and LSB table 8-1. 128 samples a second, 10 % off at
 * most (7.5). The ends of the range mean "beyond it", not a voltage.
 */
#include <stdlib.h>
#include <string.h>

#include "../bytes.h"
#include "../device.h"

#define CONVERSION    0x00
#define CONFIGURATION 0x01
#define BEGIN         0x8000 /* read: 1 when the conversion is done */
#define SINGLE        0x0100
#define RATE_128      0x0080
#define COMPARATOR_NO 0x0003
#define MEASURE_USEC  8700u

static const double ranges[] = {6.144, 4.096, 2.048, 1.024, 0.512, 0.256}; /* by the bits 11 to 9 */

static const struct {
        const char *option, *key;
} inputs[] = { /* by the bits 14 to 12 */
        {"0-1", "in0_in1"}, {"0-3", "in0_in3"}, {"1-3", "in1_in3"}, {"2-3", "in2_in3"},
        {"0", "in0"},       {"1", "in1"},       {"2", "in2"},       {"3", "in3"},
};
#define INPUTS (sizeof(inputs) / sizeof(inputs[0]))

typedef struct State {
        size_t range;
        uint8_t mux[INPUTS];
        size_t n, now;
        uint16_t told; /* what the configuration has to be */
        Quantity quantities[INPUTS + 1];
} State;

static int input_add(Device *d, State *s, const char *option) {
        for (size_t i = 0; i < INPUTS; i++) {
                if (strcmp(inputs[i].option, option) != 0)
                        continue;
                for (size_t other = 0; other < s->n; other++)
                        if (s->mux[other] == i)
                                return device_refuse(d, "inputs has \"%s\" twice", option);
                s->mux[s->n] = (uint8_t)i;
                s->quantities[s->n++] = (Quantity){inputs[i].key, "V", KIND_NUMBER, 6};
                return 0;
        }
        return device_refuse(d, "inputs: \"%.20s\" is none of \"0\", \"1\", \"2\", \"3\", \"0-1\", \"0-3\", \"1-3\", \"2-3\"",
                             option);
}

static int configure(Device *d, const struct tbagent_node *options) {
        static const char *const all[] = {"0", "1", "2", "3"};
        double range = tbagent_is_set(d->host, options, "range") ? tbagent_float(d->host, options, "range") : 4.096;
        State *s = d->data;
        const char *option;
        int r = 0;

        d->quantities = s->quantities;
        for (size_t i = 0; r == 0 && i < INPUTS && (option = tbagent_string(d->host, options, "inputs", i)); i++)
                r = input_add(d, s, option);
        for (size_t i = 0; r == 0 && i < 4 && !tbagent_is_set(d->host, options, "inputs"); i++)
                r = input_add(d, s, all[i]);
        for (s->range = 0; s->range < 6; s->range++)
                if (range > ranges[s->range] - 1e-6 && range < ranges[s->range] + 1e-6)
                        return r;
        return device_refuse(d, "range = %.4g; is none of 6.144, 4.096, 2.048, 1.024, 0.512 and 0.256", range);
}

static int init(Device *d) {
        State *s = d->data;

        s->now = 0;
        return 0;
}

static int start(Device *d, uint32_t *ret_usec) {
        State *s = d->data;

        s->told = (uint16_t)(s->mux[s->now] << 12 | s->range << 9 | SINGLE | RATE_128 | COMPARATOR_NO);
        *ret_usec = MEASURE_USEC;
        return device_put16(d, CONFIGURATION, s->told | BEGIN);
}

static int read_input(Device *d) {
        State *s = d->data;
        uint16_t configuration, word;
        int r;

        r = device_get16(d, CONFIGURATION, &configuration);
        if (r < 0)
                return r;
        if ((configuration & ~BEGIN) != s->told)
                return device_fail(d, -EIO, "0x%02x has forgotten its settings", d->route.address);
        if (!(configuration & BEGIN))
                return -EAGAIN;
        r = device_get16(d, CONVERSION, &word);
        if (r < 0)
                return r;
        if (word == 0x7fff || word == 0x8000)
                device_bad(d, s->now, "beyond the range of the converter");
        else
                device_good(d, s->now, (int16_t)word * ranges[s->range] / 32768);
        s->now = (s->now + 1) % s->n;
        return s->now == 0 ? 0 : READ_MORE;
}

const Driver ads1115_driver = {
        .name = "ads1115",
        .what = "voltages of four inputs",
        .addresses = "\x48\x49\x4a\x4b",
        .options = "range inputs",
        .size = sizeof(State),
        .configure = configure,
        .init = init,
        .start = start,
        .read = read_input,
};
