/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin gpio over lines that are only memory (tests/fake/gpio), and what the daemon is for it: it keeps descriptors and state
 * while its process comes and goes, and is the way to a server. One at a time. */
#pragma once

#include "../fake/gpio/fake.h"
#include "plugin-harness.h"

#define PI    0 /* number of the chip that fixture_pi() makes */
#define OTHER 3

typedef struct Fixture {
        Harness *h; /* NULL: no process */
        const FakeLines *lines;
        Option options[40];
        uint8_t state[4096];
        size_t state_size;
        unsigned puts;
        bool online, final, once;
        bool claimed;        /* another process drives what is kept */
        char taken[400];     /* what was asked for of it, in order: "gpiochip0-27 " */
        int watch_error, keep_error; /* of what is watched, or kept, from now on; 0: none */
        int64_t now;         /* as fixture_time() has set it */
        unsigned n_immediate; /* rows that do not wait */
        void (*harness_row_end)(struct tbagent_host *, uint32_t);
        int (*harness_watch_fd)(struct tbagent_host *, int, uint32_t, tbagent_fd_fn);
        char problems[4000], published[4000], asked[400], reply[4000], code[100], subscribed[400];
        unsigned n_published, n_asked, n_replies, lost;
        tbagent_answer_fn answer;
        void *answer_userdata;
        struct {
                char name[64];
                int fd;
        } kept[64];
        size_t n_kept;
} Fixture;

Fixture *fixture_new(void);
void fixture_free(Fixture *f);
/* The header of a Raspberry Pi 4: GPIO0 to GPIO27 and the rest to 57. */
void fixture_pi(Fixture *f);
/* "pump.line", "GPIO27": of a line. Replaces what was set. */
void fixture_set(Fixture *f, const char *path, const char *value);
void fixture_unset(Fixture *f); /* all */

/* A process that opens the plugin. Its result. */
int fixture_start(Fixture *f);
/* It ends: orderly, finally, or by a crash, after which nothing of what it would have said on its way counts. */
void fixture_stop(Fixture *f);
void fixture_end(Fixture *f);
void fixture_crash(Fixture *f);
/* The machine boots anew: no descriptor, but the state. */
void fixture_reboot(Fixture *f);

/* The reply, or NULL and f->code. */
const char *fixture_rpc(Fixture *f, const char *channel, const char *method, const char *params);
void fixture_attribute(Fixture *f, const char *key, const char *json);
void fixture_online(Fixture *f, bool online);
int fixture_setting(Fixture *f, const char *path, const char *value);
/* The answer to what the plugin has asked the server. */
void fixture_answer(Fixture *f, int error, const char *json);
const char *fixture_check(Fixture *f); /* the problems */
int fixture_exit_state(Fixture *f);
/* CLOCK_BOOTTIME as the plugin sees it; with a time in the past whatever is due is due at the next turn. 0: the real one. */
void fixture_time(Fixture *f, int64_t boottime_ns);
/* Waits for what the plugin watches, and runs it once. */
void fixture_turn(Fixture *f);
bool fixture_keeps(Fixture *f, const char *name);
