/* SPDX-License-Identifier: Apache-2.0 */
/* Loads a plugin as the host does and stands in for its services, so that a plugin is tested by itself: emitted
 * values, log lines and found hardware are recorded, watched descriptors are polled and timers run when the test
 * says so. Options come as a table of paths and texts; defaults are those of the plugin's own option table, and
 * asking for an option that the table lacks, or by a wrong type, fails the test. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tbagent/plugin.h>

typedef struct Harness Harness;

typedef struct Option {
        const char *path;  /* "path", "sensors.boiler_temp.id"; NULL ends the table */
        const char *value; /* as in the file, without quotes; newlines part the elements of a list */
} Option;

typedef enum EmitType { EMIT_BOOL, EMIT_INT, EMIT_DOUBLE, EMIT_STRING, EMIT_JSON, EMIT_BAD } EmitType;

typedef struct Emit {
        char *key;
        EmitType type;
        int64_t i; /* BOOL, INT */
        double d;
        char *text;      /* STRING, JSON, BAD (the reason) */
        size_t row;      /* counted from 1: values of one row share it */
        int64_t time_ns; /* of row_time(); 0: the row has the time of the call */
} Emit;

/* options is borrowed until harness_free(), so that a test may change it. */
Harness *harness_new(const char *plugin, const Option *options);
Harness *harness_free(Harness *h);
const struct tbagent_plugin *harness_plugin(Harness *h);
/* For a fixture that stands in for more services, or calls more verbs. */
struct tbagent_services *harness_services(Harness *h);
struct tbagent_host *harness_host(Harness *h);
void *harness_state(Harness *h);         /* the plugin's */
void *harness_symbol(Harness *h, const char *name); /* of its library; NULL: there is none */
void harness_row_end(Harness *h);        /* after such a verb */

size_t harness_check(Harness *h); /* how many mistakes; each is logged as an error, "OPTION: TEXT" */
int harness_open(Harness *h);
int harness_sample(Harness *h);
int harness_setting(Harness *h, const char *path); /* the test has changed the option before */
int harness_scan(Harness *h);
/* channel NULL: of the instance. */
int harness_rpc(Harness *h, const char *channel, const char *method, const char *params);
const char *harness_reply(Harness *h); /* JSON, or "CODE: MESSAGE"; NULL: there was none */
void harness_close(Harness *h); /* fails the test when a descriptor is still watched */

/* As under tbagent --once. */
void harness_set_once(Harness *h, bool once);
/* CLOCK_BOOTTIME as the plugin sees it; 0: the real one. */
void harness_set_now(Harness *h, int64_t boottime_ns);
/* Waits for watched descriptors and runs their functions once. False: none was ready in time. */
bool harness_turn(Harness *h, int timeout_msec);
/* Runs the timer that is due first; *ret_usec is what it was set to. False: there is none. */
bool harness_timer(Harness *h, uint64_t *ret_usec);

void harness_clear(Harness *h); /* forgets values and log lines */
size_t harness_emits(Harness *h);
const Emit *harness_emit(Harness *h, size_t index);
size_t harness_count(Harness *h, const char *key);              /* values; BAD is not one */
const Emit *harness_last(Harness *h, const char *key);          /* value or BAD; NULL: none */
size_t harness_logged(Harness *h, int level, const char *part); /* lines of this level that contain part */
const char *harness_found(Harness *h, size_t index);            /* JSON texts of scan(); NULL behind the last */
uint64_t harness_timeout(Harness *h);                           /* what the plugin raised it to; 0: not */
