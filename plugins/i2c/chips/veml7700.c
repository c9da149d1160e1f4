/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VEML7700: illuminance.
 * Vishay VEML7700 (84286): command codes 0 and 4. Application note 84323 (2025): lx per count by gain and integration
 * time, the range switching between 100 and 10 000 counts, and the polynomial for more than 1000 lx. The step is
 * changed within a sample, so that its value is a good one at once. Beyond the 140 000 lx that the chip measures (84286,
 * features) the polynomial gives anything.
 */
#include "../bytes.h"
#include "../device.h"

#define CONFIGURATION 0x00
#define COUNTS        0x04
#define SHUTDOWN      0x0001
#define COUNTS_LOW    100
#define COUNTS_HIGH   10000
#define BRIGHT        1000.0 /* lx from where it is not linear */
#define LUX_MAX       140000.0
#define WAKE_USEC     5000u
#define MOVES_MAX     4

static const struct {
        uint16_t configuration; /* gain in bits 12 and 11, integration time in bits 9 to 6 */
        uint32_t integration_usec;
        double lux;
} steps[] = {
        {0x1300, 25000, 2.1504},  /* gain 1/8 */
        {0x1000, 100000, 0.5376}, /* 1/8 */
        {0x0000, 100000, 0.0672}, /* 1 */
        {0x0880, 400000, 0.0084}, /* 2 */
};
#define STEPS (sizeof(steps) / sizeof(steps[0]))

typedef struct State {
        size_t step;
        unsigned moves; /* in a row */
} State;

static const Quantity quantities[] = {
        {"illuminance", "lx", KIND_NUMBER, 2},
        {NULL, NULL, KIND_NUMBER, 0},
};

static int init(Device *d) {
        State *s = d->data;

        *s = (State){.step = 1};
        return 0;
}

static int configuration_put(Device *d, uint16_t value) {
        return device_write(d, (const uint8_t[]){CONFIGURATION, (uint8_t)value, (uint8_t)(value >> 8)}, 3);
}

/* Shut down first: otherwise the integration that runs goes on, with the gain from before. */
static int start(Device *d, uint32_t *ret_usec) {
        const State *s = d->data;
        int r;

        r = configuration_put(d, steps[s->step].configuration | SHUTDOWN);
        if (r == 0)
                r = configuration_put(d, steps[s->step].configuration);
        *ret_usec = WAKE_USEC + steps[s->step].integration_usec / 4 * 5;
        return r;
}

static double corrected(double lux) {
        if (lux <= BRIGHT)
                return lux;
        return (((6.0135e-13 * lux - 9.3924e-9) * lux + 8.1488e-5) * lux + 1.0023) * lux;
}

static int read_light(Device *d) {
        State *s = d->data;
        uint8_t b[2];
        int r, move = 0;
        double lux;

        r = device_get(d, COUNTS, b, sizeof(b));
        if (r < 0)
                return r;
        if (le16(b) > COUNTS_HIGH && s->step > 0)
                move = -1;
        else if (le16(b) < COUNTS_LOW && s->step < STEPS - 1)
                move = 1;
        if (move != 0 && s->moves++ < MOVES_MAX) {
                s->step = move < 0 ? s->step - 1 : s->step + 1;
                return READ_MORE;
        }
        s->moves = 0;
        lux = corrected(le16(b) * steps[s->step].lux);
        if (le16(b) == UINT16_MAX || lux > LUX_MAX)
                device_bad(d, 0, "too bright for the sensor");
        else
                device_good(d, 0, lux);
        return 0;
}

const Driver veml7700_driver = {
        .name = "veml7700",
        .what = "illuminance",
        .addresses = "\x10",
        .quantities = quantities,
        .size = sizeof(State),
        .init = init,
        .start = start,
        .read = read_light,
};
