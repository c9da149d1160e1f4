/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LM75 (9 bits) and LM75B of NXP (11 bits): temperature. They measure by themselves.
 * TI LM75A (SNOS808P) section 7.5 and NXP LM75B (rev. 6.1) section 7.4.3: left-aligned in the first register; the bits
 * below those of the number mean nothing, so the two differ. The longest conversion is 300 ms (LM75A 6.5).
 */
#include "../bytes.h"
#include "../device.h"

#define TEMPERATURE   0x00
#define CONFIGURATION 0x01
#define FIRST_USEC    300000u

typedef struct State {
        bool first; /* after it was woken up it needs a while */
} State;

static const Quantity quantities[] = {
        {"temperature", "degrees Celsius", KIND_NUMBER, 3},
        {NULL, NULL, KIND_NUMBER, 0},
};

extern const Driver lm75_driver, lm75b_driver;

static int init(Device *d) {
        State *s = d->data;

        s->first = true;
        return device_put(d, CONFIGURATION, 0); /* out of shutdown */
}

static int start(Device *d, uint32_t *ret_usec) {
        const State *s = d->data;

        *ret_usec = s->first ? FIRST_USEC : 0;
        return 0;
}

static int read_temperature(Device *d) {
        State *s = d->data;
        uint16_t word;
        int r;

        r = device_get16(d, TEMPERATURE, &word);
        if (r < 0)
                return r;
        s->first = false;
        word &= d->driver == &lm75b_driver ? 0xffe0 : 0xff80;
        if ((int16_t)word < -55 * 256 || (int16_t)word > 125 * 256)
                device_bad(d, 0, "temperature is outside -55 to 125 degrees");
        else
                device_good(d, 0, (double)(int16_t)word / 256);
        return 0;
}

const Driver lm75_driver = {
        .name = "lm75",
        .what = "temperature",
        .addresses = "\x48\x49\x4a\x4b\x4c\x4d\x4e\x4f",
        .quantities = quantities,
        .size = sizeof(State),
        .init = init,
        .start = start,
        .read = read_temperature,
};

const Driver lm75b_driver = {
        .name = "lm75b",
        .what = "temperature",
        .addresses = "\x48\x49\x4a\x4b\x4c\x4d\x4e\x4f",
        .quantities = quantities,
        .size = sizeof(State),
        .init = init,
        .start = start,
        .read = read_temperature,
};
