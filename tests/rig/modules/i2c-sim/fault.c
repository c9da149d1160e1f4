// SPDX-License-Identifier: GPL-2.0-only
/* What goes wrong on purpose, counted, so that a test can compare what was injected with what was told of it. */
#include <linux/kernel.h>
#include <linux/prandom.h>
#include <linux/string.h>

#include "i2c-sim.h"

static struct rnd_state random_state;

static const struct {
        const char *name;
        int error;
} faults[FAULTS] = {
        [FAULT_ENXIO] = {"enxio", -ENXIO},    [FAULT_EREMOTEIO] = {"eremoteio", -EREMOTEIO}, [FAULT_EIO] = {"eio", -EIO},
        [FAULT_EAGAIN] = {"eagain", -EAGAIN}, [FAULT_ETIMEDOUT] = {"etimedout", -ETIMEDOUT}, [FAULT_CORRUPT] = {"corrupt", 0},
        [FAULT_SHORT] = {"short", 0},
};

void fault_seed(u32 seed) {
        prandom_seed_state(&random_state, seed);
}

unsigned fault_random(unsigned below) {
        return prandom_u32_state(&random_state) % below;
}

int fault_find(const char *name) {
        for (int i = 0; i < FAULTS; i++)
                if (strcmp(faults[i].name, name) == 0)
                        return i;
        return -1;
}

const char *fault_name(int kind) {
        return faults[kind].name;
}

int fault_error(int kind) {
        return faults[kind].error;
}

static bool plan_take(struct i2c_sim_plan *plan) {
        if (plan->permille > 0)
                return fault_random(1000) < plan->permille;
        if (plan->times == 0)
                return false;
        if (plan->skip > 0) {
                plan->skip--;
                return false;
        }
        plan->times--;
        return true;
}

/* What cannot go wrong without a read waits for one. */
int fault_take(struct i2c_sim_chip *chip, bool reads) {
        for (int i = 0; i < FAULTS; i++) {
                if (!reads && (i == FAULT_CORRUPT || i == FAULT_SHORT))
                        continue;
                if (plan_take(&chip->faults[i])) {
                        chip->faults[i].done++;
                        return i;
                }
        }
        return -1;
}
