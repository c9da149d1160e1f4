/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes on a simulated clock, and what they told. Every `changed` is held against a copy that is made of them alone. */
#pragma once

#include "tb/attributes.h"

#define WORLD_TIMES 64

typedef struct World {
        Loop *loop;
        Attributes *a;
        Attributes *copy;  /* of what `changed` said */
        bool online, open; /* open: a question has no answer yet */
        int refuse;        /* ask() fails with this */
        unsigned asked, changes, synced, warnings, client;
        usec_t times[WORLD_TIMES]; /* of the first questions, since the start */
        char warning[400], client_text[200];
        void (*on_ask)(void *userdata);
        void *userdata;
} World;

void world_new(World *w);
void world_done(World *w);
void world_advance(World *w, usec_t by);
/* An answer to the open question; an update. json NULL: too large. */
void world_answer(World *w, int error, const char *json);
void world_update(World *w, const char *json);
/* Is it this: {"key":value,...} with the keys in order? And the copy, too. */
void world_expect(const World *w, const char *json);
char *world_text(const Attributes *a); /* the same text, owned by the caller */
