/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tbagent plugin interface: the only header that tbagent installs. Plain C99, usable from C++.
 *
 * A plugin is one shared object, NAME.so, that exports one symbol, tbagent_plugin (see TBAGENT_PLUGIN
 * at the end). The program tbagent-plugin-host loads it into a process of its own for every configured
 * instance, so a plugin may keep global state, block, or crash without costing another instance a
 * sample. All verbs of a plugin are called from that process's only thread, one at a time.
 *
 * A verb that does not return within the instance's `timeout` (default 30 s) is killed together with
 * its process, which is then started again: slow hardware is fine, waiting for ever is not.
 *
 * Errors are negative errno values. Pointers that a plugin receives live until the verb returns, those
 * it passes to a service until the service returns, unless the comment says otherwise.
 */
#ifndef TBAGENT_PLUGIN_H
#define TBAGENT_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Changes when a plugin has to be built again: any other value than the host's own is refused. Within one value tbagent_plugin and
 * tbagent_services only grow, at their ends, and tbagent_option and tbagent_method stay as they are: what was built with an older
 * header runs; with a newer one it is refused. */
#define TBAGENT_PLUGIN_ABI 1u

struct tbagent_host; /* one instance as its host process sees it */
struct tbagent_node; /* one group of checked options; valid until close() returns */

enum tbagent_type {
        TBAGENT_BOOL = 1,
        TBAGENT_INT,      /* int64 */
        TBAGENT_FLOAT,    /* double; an integer in the file is fine */
        TBAGENT_STRING,
        TBAGENT_DURATION, /* "250ms" "10s" "5min" "1h"; read as microseconds */
        TBAGENT_SIZE,     /* "16k" "256M"; read as bytes */
        TBAGENT_STRINGS,  /* one string or a list of them */
        TBAGENT_NUMBERS,  /* (lo, hi): min and max give how many */
        TBAGENT_PAIRS,    /* ((raw, real), ...) */
        TBAGENT_DELTA,    /* 0.5 or "5%" */
        TBAGENT_GROUP,    /* { ... } with the options in members */
        TBAGENT_MAP       /* { name = { ... }; ... }: named groups, each with the options in members */
};

#define TBAGENT_REQUIRED 1u /* the file has to set it */
#define TBAGENT_RUNTIME  2u /* may change while the instance runs: the verb `setting` is told */
#define TBAGENT_KEYS     4u /* MAP: every member is a channel and its name a telemetry key (`key` overrides) */
#define TBAGENT_PREFIXES 8u /* MAP: every member is a channel of several keys NAME_... (`prefix` overrides) */
#define TBAGENT_SECRET  16u /* never shown */

struct tbagent_option {
        const char *name; /* NULL ends a table */
        uint32_t type;    /* enum tbagent_type */
        uint32_t flags;
        const char *fallback; /* default, as one would write it in the file without quotes; NULL: unset */
        double min, max;      /* range, durations in seconds; both 0: none */
        const char *choices;  /* STRING: "in|out"; NULL: any text */
        const char *unit;     /* for the manual: "s", "degrees Celsius"; may be NULL */
        const char *help;     /* one sentence for the manual page and error messages */
        const struct tbagent_option *members; /* GROUP and MAP */
};

struct tbagent_method {
        const char *name;   /* NULL ends a table */
        const char *params; /* what it takes, for people: "true or false"; NULL: nothing */
        const char *help;
        uint32_t flags;     /* TBAGENT_METHOD_ */
        const char *when;   /* CHANNEL: only of channels whose text option has this value, "direction=out"; NULL: of all */
};
#define TBAGENT_METHOD_CHANNEL 1u /* of one channel: INSTANCE.CHANNEL.METHOD */
#define TBAGENT_METHOD_TEXT    2u /* params that are text stay text, even where they hold JSON */

enum tbagent_level { TBAGENT_ERROR = 3, TBAGENT_WARNING = 4, TBAGENT_NOTICE = 5, TBAGENT_INFO = 6, TBAGENT_DEBUG = 7 };

typedef void (*tbagent_fd_fn)(struct tbagent_host *host, void *state, int fd, uint32_t events);
typedef void (*tbagent_timer_fn)(struct tbagent_host *host, void *state, void *userdata);
/* error: 0, or -ETIMEDOUT, -ENOTCONN; json is NULL then. */
typedef void (*tbagent_answer_fn)(struct tbagent_host *host, void *state, int error, const char *json, void *userdata);

struct tbagent_plugin {
        uint32_t abi;
        uint32_t size; /* sizeof(struct tbagent_plugin) when built; members behind it are taken as NULL */
        uint32_t services_size; /* sizeof(struct tbagent_services) when built: the host has as much, or refuses */
        uint32_t reserved;
        const char *name; /* equals the file name without .so */
        const char *summary;
        const struct tbagent_option *options; /* NULL: none */
        const struct tbagent_method *methods; /* NULL: none */

        /* Opens the hardware. Options are checked already. 0, or: -ENODEV, -ENOENT, -EAGAIN: not there (yet),
         * asked again with back-off; -EACCES, -EPERM: the same, and told as a matter of rights; other: failed. */
        int (*open)(struct tbagent_host *host, void **ret_state);
        /* Takes one sample of everything and emits it. 0; -EAGAIN: nothing this time, no fault; -ENODEV: gone,
         * close() and open() follow; other: counted as failed read. NULL: the plugin emits by itself. */
        int (*sample)(struct tbagent_host *host, void *state);
        /* A method from the server: channel is NULL for one of the instance, params is JSON. The answer goes
         * through tbagent_reply(), at once or later. A negative return answers with an error by itself. */
        int (*rpc)(struct tbagent_host *host, void *state, uint64_t id, const char *channel, const char *method, const char *params);
        /* A shared attribute that was subscribed to has this JSON value now; NULL: it was deleted. */
        int (*attribute)(struct tbagent_host *host, void *state, const char *key, const char *json);
        /* The runtime option path ("every", "CHANNEL.deadband") has changed; -EINVAL refuses it. */
        int (*setting)(struct tbagent_host *host, void *state, const char *path);
        /* Lists hardware by tbagent_found(), without open(). Writes nothing that could change a device: the number of a
         * register at most, and only at addresses where all that is known to exist takes it for one, or for nothing. */
        int (*scan)(struct tbagent_host *host);
        /* What close() leaves is up to the plugin; tbagent_is_final() says whether somebody takes over. */
        void (*close)(struct tbagent_host *host, void *state);
        /* Looks at what the table cannot say of the options, and tells mistakes by tbagent_problem(), each with file and
         * line. Before open(), and for tbagent --check: no hardware, and of the services only options, log and problem. */
        int (*check)(struct tbagent_host *host);
        /* In place of open(), in a process of its own, when the instance has ended and is not back in time: gives each output
         * the value that it is to have when nobody drives it. tbagent_fd_take(): -EBUSY: somebody does; -ENOENT: it was not
         * kept. What it holds open stays so until the process is ended. NULL: there are no outputs. */
        int (*exit_state)(struct tbagent_host *host);
        /* The server can be reached now (1), or not any more (0). */
        int (*connection)(struct tbagent_host *host, void *state, int online);
};

/* What the host does for a plugin; reached through the inline functions below. Grows at its end. */
struct tbagent_services {
        uint32_t abi;
        uint32_t size;

        int (*emit_bool)(struct tbagent_host *, const char *key, int value);
        int (*emit_int)(struct tbagent_host *, const char *key, int64_t value);
        int (*emit_double)(struct tbagent_host *, const char *key, double value);
        int (*emit_string)(struct tbagent_host *, const char *key, const char *value);
        int (*emit_json)(struct tbagent_host *, const char *key, const char *json);
        int (*emit_bad)(struct tbagent_host *, const char *key, const char *reason);
        void (*row_time)(struct tbagent_host *, int64_t boottime_ns);
        void (*row_end)(struct tbagent_host *, uint32_t flags);

        void (*log)(struct tbagent_host *, int level, const char *text);
        const char *(*instance)(struct tbagent_host *);
        int64_t (*now)(struct tbagent_host *);

        const struct tbagent_node *(*options)(struct tbagent_host *);
        const struct tbagent_node *(*member)(const struct tbagent_node *, const char *name, size_t index);
        const char *(*node_name)(const struct tbagent_node *);
        int (*is_set)(const struct tbagent_node *, const char *name);
        int64_t (*get_int)(const struct tbagent_node *, const char *name);
        double (*get_float)(const struct tbagent_node *, const char *name);
        const char *(*get_string)(const struct tbagent_node *, const char *name, size_t index);

        int (*watch_fd)(struct tbagent_host *, int fd, uint32_t events, tbagent_fd_fn fn);
        int (*unwatch_fd)(struct tbagent_host *, int fd);
        int (*timer)(struct tbagent_host *, uint64_t usec, tbagent_timer_fn fn, void *userdata);
        int (*timeout)(struct tbagent_host *, uint64_t usec);

        int (*reply)(struct tbagent_host *, uint64_t id, const char *json);
        int (*reply_error)(struct tbagent_host *, uint64_t id, const char *code, const char *message);
        int (*subscribe)(struct tbagent_host *, const char *attribute);
        int (*publish_attributes)(struct tbagent_host *, const char *json_object);
        int (*request_attributes)(struct tbagent_host *, const char *client_keys, const char *shared_keys, uint64_t usec, tbagent_answer_fn fn, void *userdata);
        int (*call)(struct tbagent_host *, const char *method, const char *params, uint64_t usec, tbagent_answer_fn fn, void *userdata);

        int (*state_put)(struct tbagent_host *, const void *data, size_t size);
        int (*state_get)(struct tbagent_host *, void *data, size_t size);
        int (*fd_keep)(struct tbagent_host *, const char *name, int fd);
        int (*fd_take)(struct tbagent_host *, const char *name);

        int (*found)(struct tbagent_host *, const char *json_object);

        int (*fd_forget)(struct tbagent_host *, const char *name);
        int (*is_final)(struct tbagent_host *);
        int (*is_online)(struct tbagent_host *);
        int (*lost)(struct tbagent_host *, uint32_t points, int64_t from_ns, int64_t to_ns, const char *why);
        int (*problem)(struct tbagent_host *, const struct tbagent_node *, const char *option, const char *text);
        const char *(*channel)(const struct tbagent_node *);
        int (*is_once)(struct tbagent_host *);
};

struct tbagent_host {
        const struct tbagent_services *services;
};

/* ---- values -------------------------------------------------------------------------------------
 * A value goes into the open row; all values of one sample() call share its mid-point as their time.
 * 0, or: -EINVAL key not allowed (blank, over 255 UTF-16 units, "ts", "values", HTML), -ERANGE not
 * finite or 2^63 and more, -E2BIG value over 4 KiB. Refused values are counted and told once. */
static inline int tbagent_emit_bool(struct tbagent_host *h, const char *key, int value) { return h->services->emit_bool(h, key, value); }
static inline int tbagent_emit_int(struct tbagent_host *h, const char *key, int64_t value) { return h->services->emit_int(h, key, value); }
static inline int tbagent_emit_double(struct tbagent_host *h, const char *key, double value) { return h->services->emit_double(h, key, value); }
/* Bytes that are no UTF-8 are repaired. The server takes text that looks like a number as a number. */
static inline int tbagent_emit_string(struct tbagent_host *h, const char *key, const char *value) { return h->services->emit_string(h, key, value); }
static inline int tbagent_emit_json(struct tbagent_host *h, const char *key, const char *json) { return h->services->emit_json(h, key, json); }
/* This key could not be read now: KEY_ok = false is sent once, true with the next good value. */
static inline int tbagent_emit_bad(struct tbagent_host *h, const char *key, const char *reason) { return h->services->emit_bad(h, key, reason); }

#define TBAGENT_IMMEDIATE 1u /* row goes out without waiting for the batch interval */
/* Values that follow have this time (CLOCK_BOOTTIME, from the kernel or tbagent_now()); ends the open row. */
static inline void tbagent_row_time(struct tbagent_host *h, int64_t boottime_ns) { h->services->row_time(h, boottime_ns); }
/* Ends the open row; it ends by itself after the verb, at 64 keys and at 8 KiB. */
static inline void tbagent_row_end(struct tbagent_host *h, uint32_t flags) { h->services->row_end(h, flags); }
/* So many values of this time (CLOCK_BOOTTIME) never reached the plugin: told upstream as a gap, with this reason. */
static inline int tbagent_lost(struct tbagent_host *h, uint32_t points, int64_t from_ns, int64_t to_ns, const char *why) { return h->services->lost(h, points, from_ns, to_ns, why); }

/* ---- the instance ------------------------------------------------------------------------------- */
/* Logged once by the daemon under the instance's name, rate limited. No credentials, please. */
static inline void tbagent_log(struct tbagent_host *h, int level, const char *text) { h->services->log(h, level, text); }
static inline const char *tbagent_instance(struct tbagent_host *h) { return h->services->instance(h); }
/* CLOCK_BOOTTIME in ns. */
static inline int64_t tbagent_now(struct tbagent_host *h) { return h->services->now(h); }

/* ---- options ------------------------------------------------------------------------------------
 * Defaults are filled in. Durations are microseconds, sizes bytes; a BOOL is 0 or 1 by get_int. */
static inline const struct tbagent_node *tbagent_options(struct tbagent_host *h) { return h->services->options(h); }
/* The index-th named group of the MAP `name` (in the file's order), or the GROUP `name`; NULL behind the last. */
static inline const struct tbagent_node *tbagent_member(struct tbagent_host *h, const struct tbagent_node *n, const char *name, size_t index) { return h->services->member(n, name, index); }
/* Name of a channel: its telemetry key or prefix (what `key`/`prefix` say), to be used with emit. */
static inline const char *tbagent_name(struct tbagent_host *h, const struct tbagent_node *n) { return h->services->node_name(n); }
/* Name of a channel in the file, as rpc() gets it. */
static inline const char *tbagent_channel(struct tbagent_host *h, const struct tbagent_node *n) { return h->services->channel(n); }
static inline int tbagent_is_set(struct tbagent_host *h, const struct tbagent_node *n, const char *name) { return h->services->is_set(n, name); }
static inline int64_t tbagent_int(struct tbagent_host *h, const struct tbagent_node *n, const char *name) { return h->services->get_int(n, name); }
static inline double tbagent_float(struct tbagent_host *h, const struct tbagent_node *n, const char *name) { return h->services->get_float(n, name); }
/* NULL where unset; index counts through a STRINGS option, NULL behind the last. */
static inline const char *tbagent_string(struct tbagent_host *h, const struct tbagent_node *n, const char *name, size_t index) { return h->services->get_string(n, name, index); }
/* From check() only: this option of n is wrong; text says what to write, behind the option's path. */
static inline int tbagent_problem(struct tbagent_host *h, const struct tbagent_node *n, const char *option, const char *text) { return h->services->problem(h, n, option, text); }

/* ---- events -------------------------------------------------------------------------------------
 * fn runs like a verb: values it emits make a row with the time of the wake-up. The fd stays the plugin's. */
static inline int tbagent_watch_fd(struct tbagent_host *h, int fd, uint32_t epoll_events, tbagent_fd_fn fn) { return h->services->watch_fd(h, fd, epoll_events, fn); }
static inline int tbagent_unwatch_fd(struct tbagent_host *h, int fd) { return h->services->unwatch_fd(h, fd); }
/* Calls fn once, usec from now. At most 64 are open; -ENOSPC beyond. */
static inline int tbagent_timer(struct tbagent_host *h, uint64_t usec, tbagent_timer_fn fn, void *userdata) { return h->services->timer(h, usec, fn, userdata); }
/* This call alone may take so long from now on. */
static inline int tbagent_timeout(struct tbagent_host *h, uint64_t usec) { return h->services->timeout(h, usec); }

/* ---- the server --------------------------------------------------------------------------------- */
static inline int tbagent_reply(struct tbagent_host *h, uint64_t id, const char *json) { return h->services->reply(h, id, json); }
static inline int tbagent_reply_error(struct tbagent_host *h, uint64_t id, const char *code, const char *message) { return h->services->reply_error(h, id, code, message); }
static inline int tbagent_subscribe(struct tbagent_host *h, const char *attribute) { return h->services->subscribe(h, attribute); }
static inline int tbagent_publish_attributes(struct tbagent_host *h, const char *json_object) { return h->services->publish_attributes(h, json_object); }
/* Keys are comma separated; NULL: none of that scope. */
static inline int tbagent_request_attributes(struct tbagent_host *h, const char *client_keys, const char *shared_keys, uint64_t usec, tbagent_answer_fn fn, void *userdata) { return h->services->request_attributes(h, client_keys, shared_keys, usec, fn, userdata); }
static inline int tbagent_call(struct tbagent_host *h, const char *method, const char *params, uint64_t usec, tbagent_answer_fn fn, void *userdata) { return h->services->call(h, method, params, usec, fn, userdata); }

/* Whether the server can be reached. Not yet known is not. */
static inline int tbagent_is_online(struct tbagent_host *h) { return h->services->is_online(h); }

/* ---- what survives ------------------------------------------------------------------------------
 * Up to 4 KiB per instance that survive a crash at once and a power cut after at most `persist`. */
static inline int tbagent_state_put(struct tbagent_host *h, const void *data, size_t size) { return h->services->state_put(h, data, size); }
/* Bytes copied (0: nothing kept), as they were when this host started or were last put. */
static inline int tbagent_state_get(struct tbagent_host *h, void *data, size_t size) { return h->services->state_get(h, data, size); }
/* Hands a copy of fd to the daemon, in place of one of the same name; it outlives this process and, under systemd, the
 * daemon's, and take gives a copy back (-ENOENT: none). Names: printable ASCII without a colon, at most 128. */
static inline int tbagent_fd_keep(struct tbagent_host *h, const char *name, int fd) { return h->services->fd_keep(h, name, fd); }
static inline int tbagent_fd_take(struct tbagent_host *h, const char *name) { return h->services->fd_take(h, name); }
/* The daemon closes its copy. */
static inline int tbagent_fd_forget(struct tbagent_host *h, const char *name) { return h->services->fd_forget(h, name); }
/* In close(): 1: nobody takes over (the daemon stops, the instance goes), so outputs get the value for that and are forgotten;
 * what is still kept afterwards is left to exit_state(). 0: it is opened again soon, here or in another process. */
static inline int tbagent_is_final(struct tbagent_host *h) { return h->services->is_final(h); }
/* 1: somebody looks by tbagent --once, and the daemon may be running: read, and leave every output as it is. */
static inline int tbagent_is_once(struct tbagent_host *h) { return h->services->is_once(h); }

/* From scan() only: one thing found, as a JSON object of texts: "id" and "what" it is, for people. Where it can be used,
 * "config" as the file would have it ("NAME = { ... };"), and with that, if need be: "group", the map option that it goes
 * into; "instance", its name where there are several; "options", what that needs besides ("bus = 1;");
 * "commented": true (no text) where a person has to decide. Why something could not be looked at is a warning of the log. */
static inline int tbagent_found(struct tbagent_host *h, const char *json_object) { return h->services->found(h, json_object); }

/* TBAGENT_PLUGIN(.name = "x", .summary = "...", .open = x_open, ...); */
#if defined(__GNUC__)
#define TBAGENT_EXPORT __attribute__((visibility("default")))
#else
#define TBAGENT_EXPORT
#endif
#if defined(__cplusplus) && defined(__GNUC__)
/* What is left out is 0, in C++, too; its compilers warn of that. */
#define TBAGENT_PLUGIN(...) \
        _Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wmissing-field-initializers\"") \
        TBAGENT_PLUGIN_TABLE(__VA_ARGS__) \
        _Pragma("GCC diagnostic pop") extern const struct tbagent_plugin tbagent_plugin
#else
#define TBAGENT_PLUGIN(...) TBAGENT_PLUGIN_TABLE(__VA_ARGS__) extern const struct tbagent_plugin tbagent_plugin
#endif
#define TBAGENT_PLUGIN_TABLE(...) \
        extern TBAGENT_EXPORT const struct tbagent_plugin tbagent_plugin; \
        const struct tbagent_plugin tbagent_plugin = { .abi = TBAGENT_PLUGIN_ABI, .size = (uint32_t)sizeof(struct tbagent_plugin), .services_size = (uint32_t)sizeof(struct tbagent_services), __VA_ARGS__ };

#ifdef __cplusplus
}
#endif
#endif
