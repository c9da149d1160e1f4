/* SPDX-License-Identifier: Apache-2.0 */
/* One temperature probe as the kernel's w1 subsystem shows it: a folder named by its id. Knows nothing of the host. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ID_SIZE  16
#define WHY_SIZE 160

typedef struct Id {
        char text[ID_SIZE]; /* "28-0316a2795eff" */
} Id;

typedef struct Probe {
        Id id;
        bool has_last;
        int64_t last; /* the last reading that was believed, in thousandths of a degree */
        bool says_converted; /* its byte 6 was seen to change when it converts */
        int bits; /* its resolution as the kernel knows it; 0: not known */
        bool suspect; /* it may have lost its supply since its resolution was looked at */
} Probe;

/* "28-0316A2795EFF" in either case to an id as the kernel writes it. False: it is no id. */
bool id_parse(const char *text, Id *ret);
/* What a thermometer of this id is called; NULL: the family is no thermometer. */
const char *id_thermometer(const Id *id);

/* Reads dir/ID with up to `retries` repetitions, 0.75 s each. 0; -ENODEV: not on the bus; -EACCES; -EIO, -EBADMSG,
 * -ERANGE: no believable reading; -ESTALE: its resolution is another one than it was. why gets the reason in words on
 * failure. */
int probe_read(Probe *p, const char *dir, unsigned retries, int64_t *ret_millidegrees, char why[static WHY_SIZE]);

/* Sets its resolution where it has another one; 0: leaves it. Either way the kernel learns how long it converts. 0, also
 * where it has no choice of one; -ENODEV; -EACCES; -EIO: not now; -EINVAL: it refuses this one. */
int probe_resolution(Probe *p, const char *dir, int bits);
