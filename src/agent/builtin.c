/* SPDX-License-Identifier: Apache-2.0 */
/* Nothing here runs a program or changes what is on the disk. */
#include <stdio.h>

#include "agent/builtin.h"
#include "base/log.h"
#include "model/value.h"
#include "tb/tree.h"

typedef struct Call {
        const BuiltinParams *p;
        json_object *params; /* NULL: null */
        const char **ret_code, **ret_text;
} Call;

typedef struct Builtin {
        const char *name, *params, *help;
        char *(*fn)(const Call *c);
} Builtin;

static char *refuse(const Call *c, const char *code, const char *text) {
        *c->ret_code = code;
        *c->ret_text = text;
        return NULL;
}

static const char *text_param(const Call *c) {
        return json_object_is_type(c->params, json_type_string) ? json_object_get_string(c->params) : NULL;
}

static char *call_ping(const Call *c _unused_) {
        return strdup("\"pong\"");
}

static char *call_status(const Call *c) {
        return c->p->status(c->p->userdata);
}

static char *call_sample(const Call *c) {
        const Instances *all = c->p->instances(c->p->userdata);
        const char *name = text_param(c);
        size_t asked = 0;

        for (size_t i = 0; i < instances_n(all); i++) {
                Instance *in = instances_find(all, instance_name(instances_at(all, i)));

                asked += (!name || streq(name, instance_name(in))) && instance_sample(in) == 0;
        }
        return asked > 0 ? strdup("true") : refuse(c, "not_ready", name ? "no instance of that name runs" : "no instance runs");
}

static char *call_reload(const Call *c) {
        c->p->reload(c->p->userdata);
        return strdup("true");
}

static char *call_log_level(const Call *c) {
        const Instances *all = c->p->instances(c->p->userdata);
        const char *name = text_param(c);
        int level = name ? log_level_parse(name) : -EINVAL;

        if (level < 0)
                return refuse(c, "bad_params", "error, warning, notice, info or debug");
        log_set_level(level);
        for (size_t i = 0; i < instances_n(all); i++)
                (void)!instance_level(instances_find(all, instance_name(instances_at(all, i))), level);
        return strdup("true");
}

static char *call_methods(const Call *c);

static const Builtin builtins[] = {
        { "ping", "", "answers \"pong\"", call_ping },
        { "status", "", "what the agent is doing, as JSON", call_status },
        { "sample", "an instance's name, or null for all", "takes a sample now", call_sample },
        { "reload", "", "reads the configuration again; the status says what is wrong with it", call_reload },
        { "log_level", "error, warning, notice, info or debug", "until the next start", call_log_level },
        { "methods", "", "lists all methods", call_methods },
};

static void write_method(FILE *f, bool first, const char *name, const char *params, const char *help) {
        _cleanup_(freep) char *n = json_string(name), *p = json_string(params), *h = json_string(help);

        if (n && p && h)
                fprintf(f, "%s{\"method\":%s,\"params\":%s,\"help\":%s}", first ? "" : ",", n, p, h);
}

static char *call_methods(const Call *c) {
        const Methods *m = c->p->methods;
        char *text = NULL, name[64];
        size_t size;
        FILE *f = open_memstream(&text, &size);

        if (!f)
                return NULL;
        fputc('[', f);
        for (size_t i = 0; i < ELEMENTS(builtins); i++) {
                snprintf(name, sizeof(name), "agent.%s", builtins[i].name);
                write_method(f, i == 0, name, builtins[i].params, builtins[i].help);
        }
        for (size_t i = 0; i < methods_n(m); i++)
                write_method(f, false, methods_at(m, i)->full, methods_at(m, i)->params, methods_at(m, i)->help);
        fputc(']', f);
        if (fclose(f) == 0)
                return text;
        free(text);
        return NULL;
}

char *builtin_call(const BuiltinParams *p, const char *name, const char *params, const char **ret_code, const char **ret_text) {
        _cleanup_(tree_putp) json_object *tree = NULL;
        Call c = { .p = p, .ret_code = ret_code, .ret_text = ret_text };

        if (tree_parse(params, strlen(params), &tree) < 0)
                return refuse(&c, "bad_params", "the params are not JSON");
        c.params = tree;
        for (size_t i = 0; i < ELEMENTS(builtins); i++)
                if (streq(builtins[i].name, name))
                        return builtins[i].fn(&c);
        return NULL;
}
