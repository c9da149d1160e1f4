/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MCP9808: temperature. It measures by itself, every 250 ms at its full resolution.
 * Microchip MCP9808 (DS25095A): registers section 5.1, conversion 5.1.3.1 (two's complement, as the text says; the
 * printed code has the sign of negative temperatures the wrong way round). Those 250 ms are typical, a maximum is not
 * given: the first measurement is waited for longer, or what was there before the chip was woken up would be read.
 */
#include "../bytes.h"
#include "../device.h"

#define CONFIG       0x01
#define TEMPERATURE  0x05
#define MANUFACTURER 0x06
#define DEVICE       0x07
#define FIRST_USEC   350000u

typedef struct State {
        bool first; /* after it was woken up it needs a while */
} State;

static const Quantity quantities[] = {
        {"temperature", "degrees Celsius", KIND_NUMBER, 4},
        {NULL, NULL, KIND_NUMBER, 0},
};

static int identify(Device *d) {
        uint16_t maker, device;
        int r;

        r = device_get16(d, MANUFACTURER, &maker);
        if (r == 0)
                r = device_get16(d, DEVICE, &device);
        if (r < 0 || (maker == 0x0054 && device >> 8 == 0x04))
                return r;
        return device_fail(d, WRONG_CHIP, "0x%02x is no mcp9808: its ids are 0x%04x and 0x%04x", d->route.address, maker, device);
}

static int init(Device *d) {
        State *s = d->data;

        s->first = true;
        return device_put16(d, CONFIG, 0); /* out of shutdown */
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
        device_good(d, 0, (double)(int16_t)(uint16_t)(word << 3) / 128); /* bit 12 is the sign, those above are alarms */
        return 0;
}

const Driver mcp9808_driver = {
        .name = "mcp9808",
        .what = "temperature",
        .addresses = "\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f",
        .quantities = quantities,
        .size = sizeof(State),
        .identify = identify,
        .init = init,
        .start = start,
        .read = read_temperature,
};
