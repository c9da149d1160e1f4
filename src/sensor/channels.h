/* SPDX-License-Identifier: Apache-2.0 */
/* What every instance has beside its plugin's own options: the generic options, its channels, and the report
 * rules of each key, from the widest to the narrowest: `report`, the channel, the entry in `keys`. Pure. */
#pragma once

#include "model/option.h"
#include "sensor/rules.h"

/* Of every instance; the manual is made from it. */
extern const struct tbagent_option instance_options[];

typedef struct Channel {
        const Node *node;   /* borrowed */
        const char *name;   /* in the file */
        const char *key;    /* its telemetry key or prefix */
        bool prefix;
        const char *file;   /* NULL: not known */
        unsigned line;
        char *path;         /* "plugins.boiler.sensors.room" */
        ReportRules rules;
} Channel;

typedef struct Channels Channels;

typedef struct ChannelsParams {
        const char *instance;
        const Node *options;     /* all of these are borrowed until channels_free() */
        const Setting *settings; /* what options were made from: for lines; may be NULL */
        const struct tbagent_option *plugin_options;
} ChannelsParams;

/* Tells what is wrong through fn. Returns the number of problems, or -ENOMEM (*ret unchanged). */
_must_check_ int channels_new(Channels **ret, const ChannelsParams *params, problem_fn fn, void *userdata);
Channels *channels_free(Channels *c);
DEFINE_CLEANUP(Channels *, channels_free)

/* Never NULL; borrowed until channels_free(). */
const ReportRules *channels_rules(const Channels *c, const char *key);

size_t channels_count(const Channels *c); /* channels of the plugin's maps, then entries of `keys` */
const Channel *channels_get(const Channels *c, size_t i);
size_t channels_count_maps(const Channels *c); /* the former alone */
