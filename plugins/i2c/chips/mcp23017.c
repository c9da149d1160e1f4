/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MCP23017: 16 pins.
 * Microchip MCP23017 (DS20001952C): registers table 3-5 with BANK = 0, as they are after power-on; A is the low byte.
 */
#include "../bytes.h"
#include "../pins.h"

#define IODIR 0x00 /* 1 is an input */
#define IPOL  0x02
#define GPPU  0x0c
#define GPIO  0x12
#define OLAT  0x14

static int pair_get(Device *d, uint8_t reg, uint16_t *ret) {
        uint8_t b[2];
        int r;

        r = device_get(d, reg, b, sizeof(b));
        if (r == 0)
                *ret = le16(b);
        return r;
}

static int pair_put(Device *d, uint8_t reg, uint16_t value) {
        return device_write(d, (const uint8_t[]){reg, (uint8_t)value, (uint8_t)(value >> 8)}, 3);
}

/* The bits of mask become those of value, the others stay. */
static int pair_change(Device *d, uint8_t reg, uint16_t mask, uint16_t value) {
        uint16_t now = 0;
        int r;

        r = pair_get(d, reg, &now);
        return r < 0 ? r : pair_put(d, reg, (uint16_t)((now & ~mask) | (value & mask)));
}

static int look(Device *d, uint16_t *ret_latch, uint16_t *ret_driven) {
        uint16_t inputs;
        int r;

        r = pair_get(d, IODIR, &inputs);
        if (r == 0)
                r = pair_get(d, OLAT, ret_latch);
        if (r == 0)
                *ret_driven = (uint16_t)~inputs;
        return r;
}

/* The pins of another instance stay as they are. */
static int write_latch(Device *d, const PortState *state) {
        int r;

        r = device_hold(d);
        if (r < 0)
                return r;
        r = pair_change(d, OLAT, state->outputs, state->latch);
        device_release(d);
        return r;
}

static int setup(Device *d, const PortState *state) {
        uint16_t ours = state->inputs | state->outputs;
        int r;

        r = device_hold(d);
        if (r < 0)
                return r;
        r = pair_change(d, OLAT, state->outputs, state->latch);
        if (r == 0)
                r = pair_change(d, IPOL, ours, 0);
        if (r == 0)
                r = pair_change(d, GPPU, ours, state->pull_ups);
        if (r == 0)
                r = pair_change(d, IODIR, ours, state->inputs);
        device_release(d);
        return r;
}

static bool is_set_up(const uint8_t *registers, const PortState *state) {
        uint16_t ours = state->inputs | state->outputs;

        return !((le16(registers + IODIR) ^ state->inputs) & ours) && !(le16(registers + IPOL) & ours) &&
               !((le16(registers + GPPU) ^ state->pull_ups) & ours) &&
               !((le16(registers + OLAT) ^ state->latch) & state->outputs);
}

static int read_levels(Device *d, const PortState *state, uint16_t *ret_levels) {
        uint8_t b[OLAT + 2];
        int r;

        r = device_get(d, IODIR, b, sizeof(b));
        if (r < 0)
                return r;
        if (!is_set_up(b, state))
                return device_fail(d, -ESTALE, "0x%02x does not keep its settings", d->route.address);
        *ret_levels = le16(b + GPIO);
        return 0;
}

const Port mcp23017_port = {
        .driver = {.name = "mcp23017", .what = "16 inputs and outputs", .addresses = "\x20\x21\x22\x23\x24\x25\x26\x27"},
        .n_pins = 16,
        .has_pull_ups = true,
        .look = look,
        .setup = setup,
        .write = write_latch,
        .read = read_levels,
};
