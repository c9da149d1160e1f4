/* SPDX-License-Identifier: Apache-2.0 */
/* One simulated chip: how its description is read, and what it does with what is written to it. For i2c-sim.c. */
#pragma once

#include "i2c-sim.h"

#define KEY_MAX    12
#define DATA_MAX   64
#define CELLS_MAX  48
#define STARTS_MAX 12

typedef enum Model { MODEL_BYTES, MODEL_WORDS, MODEL_COMMANDS, MODEL_PORT } Model;

typedef struct Cell {
        uint8_t key[KEY_MAX], data[DATA_MAX];
        size_t key_size, size;
} Cell;

typedef struct Start {
        uint8_t key[KEY_MAX];
        size_t key_size;
        uint64_t usec;
        bool nack;
        Cell need, busy[4], then[4];
        size_t n_need, n_busy, n_then;
} Start;

typedef struct Chip {
        bool used;
        int channel; /* of the mux; -1: none */
        uint8_t address;
        Model model;
        uint8_t regs[256], pointer, latch, low;
        Cell cells[CELLS_MAX];
        size_t n_cells;
        uint8_t last[KEY_MAX]; /* what is read now: the register or command that was written last */
        size_t last_size;
        Start starts[STARTS_MAX], *running;
        size_t n_starts;
        uint64_t ends_ns;
} Chip;

/* Adds the lines to what is known of it. */
void chip_describe(Chip *chip, const char *lines);
/* False: it does not acknowledge. */
bool chip_write(Chip *chip, const uint8_t *bytes, size_t n);
bool chip_read(Chip *chip, uint8_t *bytes, size_t n);
/* The first byte of a register or the latch; -1: there is none. */
int chip_peek(Chip *chip, uint8_t reg);
