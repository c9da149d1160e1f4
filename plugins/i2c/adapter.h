/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's I2C adapters as sysfs shows them: which there are, where their nodes are, and whose an address is. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define ADAPTERS_MAX      64
#define ADAPTER_PATH_SIZE 256
#define ADAPTER_NAME_SIZE 64
#define ADAPTER_TEXT_SIZE 240 /* what the host keeps of a line */

typedef struct Adapter {
        int number; /* N of /dev/i2c-N; -1: not known */
        char name[ADAPTER_NAME_SIZE];
        char path[ADAPTER_PATH_SIZE];
} Adapter;

/* Below the folder root ("" is the real one). Their number, sorted by their numbers; 0: there are none. */
size_t adapter_list(const char *root, Adapter out[static ADAPTERS_MAX]);

/* The bus that a mux of the kernel's has made this one of: who is on that one answers here, too. -1: it is none. */
int adapter_parent(const char *root, const Adapter *a);

/* By path ("/dev/i2c-1", taken as it is), by name ("bcm2835 (i2c@7e804000)"), or with name NULL by number. 0; -ENODEV:
 * there is none of that name. */
int adapter_find(const char *root, const char *name, int number, Adapter *ret);

/* Why the node cannot be opened, and what to do about it. */
void adapter_explain(const char *root, const Adapter *a, int error, char out[static ADAPTER_TEXT_SIZE]);

/* "0x76 belongs to the kernel's driver bmp280: ..." */
void adapter_holder(const char *root, const Adapter *a, uint8_t address, char out[static ADAPTER_TEXT_SIZE]);
