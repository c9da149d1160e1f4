/* SPDX-License-Identifier: Apache-2.0 */
/* The way of Sensirion's chips: commands of two bytes, words of two bytes with a checksum behind each. */
#pragma once

#include "device.h"

#define WORDS_MAX 9

int words_command(Device *d, uint16_t command);
/* Reads what a command has made ready. */
int words_read(Device *d, uint16_t *words, size_t n);
uint8_t words_checksum(uint16_t word);

/* A share of 65535 as a temperature and a relative humidity. */
double words_celsius(uint16_t word);
double words_percent(uint16_t word);
