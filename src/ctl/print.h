/* SPDX-License-Identifier: Apache-2.0 */
/* Text from elsewhere on somebody's terminal: no control character of it gets there. */
#pragma once

#include <json-c/json.h>
#include <stdio.h>

#include "base/macro.h"

void print_text(FILE *f, const char *text);
/* A text without its quotes, all else as JSON in one line. */
void print_value(FILE *f, json_object *o);
/* The same with a new line at its end; objects and arrays take several. */
void print_answer(FILE *f, json_object *o);

/* Members of an object as a table with a head: one line for each element of an array, columns that are empty are left out. */
typedef struct Column {
        const char *head, *member;
} Column;
void print_table(FILE *f, json_object *array, const Column *columns, size_t n);
