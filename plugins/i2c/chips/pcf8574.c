/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCF8574 (0x20 to 0x27) and PCF8574A (0x38 to 0x3f): 8 pins, without registers.
 * TI PCF8574 (SCPS068J): what is written is the latch, what is read are the levels (8.3). A pin is an input while its
 * latch is 1, when only 100 uA pull it up; after power-on all are. So an output that is 0 and reads as 1 tells that the
 * chip was without power; one that is 1 and reads as 0 has a load, which is none of our business. Pins that are not
 * configured are 1, too: a 0 would drive against whatever holds them low.
 */
#include "../bytes.h"
#include "../pins.h"

static int look(Device *d, uint16_t *ret_latch, uint16_t *ret_driven) {
        uint8_t levels;
        int r;

        r = device_read(d, &levels, 1);
        if (r < 0)
                return r;
        *ret_latch = levels;
        *ret_driven = 0xff;
        return 0;
}

/* What was written is acknowledged by a line that is held low, too; only reading shows that. */
static int write_latch(Device *d, const PortState *state) {
        uint8_t levels;
        int r;

        r = device_write(d, (const uint8_t[]){(uint8_t)(state->latch | ~state->outputs)}, 1);
        return r < 0 ? r : device_read(d, &levels, 1);
}

static int read_levels(Device *d, const PortState *state, uint16_t *ret_levels) {
        uint8_t levels;
        int r;

        r = device_read(d, &levels, 1);
        if (r < 0)
                return r;
        if (levels & ~state->latch & state->outputs)
                return device_fail(d, -ESTALE, "0x%02x does not keep its outputs", d->route.address);
        *ret_levels = levels;
        return 0;
}

const Port pcf8574_port = {
        .driver = {.name = "pcf8574",
                   .what = "8 inputs and outputs",
                   .addresses = "\x20\x21\x22\x23\x24\x25\x26\x27\x38\x39\x3a\x3b\x3c\x3d\x3e\x3f"},
        .n_pins = 8,
        .no_registers = true,
        .look = look,
        .setup = write_latch,
        .write = write_latch,
        .read = read_levels,
};
