/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the plugin share: an instance and its lines. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tbagent/plugin.h>

#include "counter.h"
#include "memory.h"
#include "place.h"
#include "pwm.h"
#include "request.h"

#define LINES_MAX MEMORY_LINES_MAX
#define NEVER     INT64_MAX

typedef enum Mode { MODE_STATE, MODE_COUNTER, MODE_PWM } Mode;
typedef enum Preset { PRESET_OFF, PRESET_ON, PRESET_LAST, PRESET_AS_IS } Preset;

typedef struct LineOptions {
        const char *line, *chip; /* chip NULL: any */
        bool output, active_low;
        Mode mode;
        Bias bias;
        /* inputs */
        bool rising, falling, immediate;
        uint32_t debounce_usec;
        double per_unit, initial_total;
        const char *rate_key; /* NULL: none */
        int64_t rate_per_ns, rate_timeout_ns;
        /* outputs */
        Drive drive;
        Preset initial, on_exit, on_disconnect;
        int64_t on_disconnect_after_ns, pulse_ns, pwm_period_ns;
        const char *attribute; /* NULL: none */
} LineOptions;

typedef struct Gpio Gpio;

typedef struct Line {
        Gpio *gpio;
        const struct tbagent_node *node;
        const char *channel, *key; /* in the file; upstream */
        LineOptions o;
        Wanted wanted;
        Place place;
        char kept[CHIP_NAME_SIZE + 16]; /* what its request is kept by */
        int fd;             /* the request; -1: the line is missing */
        bool taken;         /* the request is older than this process */
        char why[WHY_SIZE]; /* it is missing */
        bool keep_told;     /* that it cannot be kept */
        bool begun;         /* it has been there in this process, which knows more of it than what is remembered */

        /* input */
        bool has_seqno;
        uint32_t seqno;     /* of the last edge */
        int64_t edge_ns;
        Counter *counter;   /* NULL: it is none */
        bool has_base;      /* the total that the counter goes on from while it is not known is one of before */
        bool asked;         /* the server is, for its total */
        bool published;     /* its total was, as */
        double published_total;
        uint32_t published_epoch;

        /* output */
        double duty;        /* 0 off, 100 on */
        bool level;         /* that is driven just now */
        Pwm pwm;
        int64_t pwm_next_ns, pulse_end_ns, disconnect_ns; /* NEVER */
        bool has_attribute, disconnected;
        double attribute;   /* what it said last */
        bool contradicted;  /* the chip says other than what is driven; told */
} Line;

struct Gpio {
        struct tbagent_host *host;
        Line lines[LINES_MAX];
        size_t n_lines;
        uint8_t boot[16];
        Remembered memory[LINES_MAX]; /* as it was when the process began */
        size_t n_memory;
        bool same_boot;
        int timer_fd; /* one timer for whatever comes next */
        int64_t retry_ns, retry_wait_ns; /* lines that are missing are looked for */
        int64_t ask_ns;                  /* the server is asked for totals */
        bool asking;
        int64_t remember_ns;             /* what was counted is kept */
};

/* gpio.c: a line of the log, as tbagent_log(). */
void gpio_say(Gpio *g, int level, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Something has another time now. */
void gpio_arm(Gpio *g);
/* Puts what is to be remembered of all lines, at once, or soon: edges come by the thousand. */
void gpio_remember(Gpio *g);
void gpio_remember_soon(Gpio *g);
Line *gpio_find(Gpio *g, const char *channel);

/* options.c */
extern const struct tbagent_option gpio_options[];
/* What a line's options are, once they were checked. */
void options_read(struct tbagent_host *host, const struct tbagent_node *node, LineOptions *ret);
/* The verb: tells what the table cannot. */
int options_check(struct tbagent_host *host);
/* Of "off", "on", "last", "as-is"; -1. */
int options_preset(const char *text);

/* line.c: why it is missing. */
void line_say_why(Line *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Where it is, and what it is kept by. As place_find(). */
int line_find(Line *l);
/* By what is kept of it. 0; 1: there is nothing, or it is good for nothing; negative: missing, as below. */
int line_take(Line *l);
/* By that or anew. 0; -ENODEV, -EACCES, -EBUSY ...: missing, l->why says why. */
int line_open(Line *l);
/* Its descriptor is closed here; it stays kept. */
void line_close(Line *l);
/* It is kept no more. */
void line_forget(Line *l);
/* The chip is gone, or cannot be asked just now (then it stays kept): it is missing until it is taken or asked for again. */
void line_lost(Line *l, int error);
RequestConfig line_config(const Line *l);
/* After a change of what may change. */
int line_reconfigure(Line *l);

/* input.c */
int input_begin(Line *l);
/* Takes all edges that wait. 0; -errno: the line is lost. */
int input_drain(Line *l);
int input_sample(Line *l);

/* total.c */
int total_begin(Line *l);
void total_edge(Line *l, const Edge *e, int64_t time_ns);
void total_sample(Line *l, int64_t now_ns);
int total_set(Line *l, double total);
/* Asks the server for what is not known, when it is time for that. */
void total_ask(Gpio *g);
void total_remember(const Line *l, Remembered *m);

/* output.c */
/* The duty for initial = "last". */
double output_last(const Line *l);
void output_begin(Line *l);
/* 0 or 100 percent, or between where it is PWM; told upstream at once. */
int output_set(Line *l, double duty);
int output_pulse(Line *l, int64_t length_ns);
int output_sample(Line *l);
/* The value upstream; 0 or 1 of its level, else -errno. */
int output_emit(Line *l);
void output_attribute(Line *l, const char *json);
void output_connection(Line *l, bool online);
int64_t output_next(const Line *l);
void output_due(Line *l, int64_t now_ns);
/* 0, also where on_exit leaves it as it is; -errno: it is not set, which is told. */
int output_exit(Line *l);
void output_remember(const Line *l, Remembered *m);

/* rpc.c, scan.c, exit.c: the verbs */
extern const struct tbagent_method gpio_methods[];
int gpio_rpc(struct tbagent_host *host, void *state, uint64_t id, const char *channel, const char *method, const char *params);
int gpio_scan(struct tbagent_host *host);
int gpio_exit_state(struct tbagent_host *host);
