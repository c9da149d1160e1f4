/* SPDX-License-Identifier: Apache-2.0 */
/* A group of settings beside its tables becomes a node: one slot for each option, filled from the file, else
 * from the default. All mistakes of a tree are told in one go, and a slot whose setting was refused holds its
 * default, so that the check can go on below it.
 *
 * A slot has two values: what the file (or the default) says, and a live one that node_set() lays over it.
 * Taking the live one away is all it needs to go back.
 *
 * The members of a MAP with the flag KEYS or PREFIXES are channels: they take the options of the map's own
 * table, `key` or `prefix`, and the channel options that the host registers (the report rules), all of which
 * are runtime options wherever that table stands.
 */
#include <assert.h>
#include <stdio.h>

#include "model/option-value.h"
#include "model/option-json.h"
#include "model/option.h"

#define TABLES_MAX 4
#define PATH_SIZE 256
#define LIST_SIZE 160 /* known names are listed where they fit */

typedef struct Slot {
        const struct tbagent_option *option;
        bool runtime;
        bool has_live;
        OptionValue value; /* GROUP, MAP: only set, file and line */
        OptionValue live;
        Node **members; /* GROUP: one; MAP: in the file's order */
        size_t n_members;
} Slot;

struct tbagent_node {
        char *name; /* in the file; "" at the top */
        char *path; /* for messages */
        Slot *slots;
        size_t n_slots;
};

static const struct tbagent_option *channel_options;

static const struct tbagent_option key_option[] = {
        { .name = "key", .type = TBAGENT_STRING, .help = "telemetry key, where it is not the channel's name" }, { 0 }
};
static const struct tbagent_option prefix_option[] = {
        { .name = "prefix",
          .type = TBAGENT_STRING,
          .help = "what the telemetry keys begin with, where it is not the channel's name" },
        { 0 }
};

void option_set_channel_options(const struct tbagent_option *table) {
        channel_options = table;
}

const struct tbagent_option *option_channel_options(void) {
        return channel_options;
}

static void slot_done(Slot *s) {
        option_value_done(&s->value);
        option_value_done(&s->live);
        for (size_t i = 0; i < s->n_members; i++)
                node_free(s->members[i]);
        free(s->members);
}

Node *node_free(Node *n) {
        if (!n)
                return NULL;
        for (size_t i = 0; i < n->n_slots; i++)
                slot_done(&n->slots[i]);
        free(n->slots);
        free(n->name);
        free(n->path);
        free(n);
        return NULL;
}

static Slot *find_slot(const Node *n, const char *name, size_t length) {
        for (size_t i = 0; i < n->n_slots; i++)
                if (strncmp(n->slots[i].option->name, name, length) == 0 && n->slots[i].option->name[length] == '\0')
                        return &n->slots[i];
        return NULL;
}

static const char *join(char out[static PATH_SIZE], const char *path, const char *name) {
        if (snprintf(out, PATH_SIZE, "%s%s%s", path, path[0] != '\0' ? "." : "", name) < 0)
                out[0] = '\0';
        return out; /* a name that is cut is one in a message */
}

/* ", known: a, b, c" where that is short, else "". */
static const char *known_names(const char *const *names, size_t n, char out[static LIST_SIZE]) {
        size_t used = 0;

        out[0] = '\0';
        for (size_t i = 0; i < n; i++) {
                used += (size_t)snprintf(out + used, LIST_SIZE - used, "%s%s", i == 0 ? "; known here: " : ", ", names[i]);
                if (used >= LIST_SIZE) {
                        out[0] = '\0';
                        break;
                }
        }
        return out;
}

static bool in_table(const struct tbagent_option *table, const char *name) {
        for (; table && table->name; table++)
                if (streq(table->name, name))
                        return true;
        return false;
}

static void tell_unknown(const Node *n, const Setting *s, Problems *p) {
        _cleanup_(freep) const char **names = calloc(n->n_slots + 1, sizeof(*names));
        char path[PATH_SIZE], list[LIST_SIZE] = "";
        const char *nearest = NULL;

        join(path, n->path, s->name);
        for (size_t i = 0; names && i < n->n_slots; i++)
                names[i] = n->slots[i].option->name;
        if (names) {
                nearest = nearest_name(s->name, names, n->n_slots);
                known_names(names, n->n_slots, list);
        }
        if (nearest)
                problems_tell(p, s, "%s is not known; did you mean \"%s\"?", path, nearest);
        else if (in_table(channel_options, s->name) && find_slot(n, "report", 6))
                problems_tell(p, s, "%s is not known here: it goes into a channel, or into report = { } for all of them", path);
        else
                problems_tell(p, s, "%s is not known%s", path, list);
}

static int build(Node **ret, const Setting *group, bool absent, const char *path, const char *name,
                 const struct tbagent_option *const tables[static TABLES_MAX], unsigned depth, Problems *p);

static int add_member(Slot *slot, const Setting *group, bool absent, const char *path, const char *name,
                      unsigned depth, Problems *p) {
        const struct tbagent_option *tables[TABLES_MAX] = { slot->option->members };
        Node **grown = reallocarray(slot->members, slot->n_members + 1, sizeof(*grown));
        int r;

        if (!grown)
                return -ENOMEM;
        slot->members = grown;
        if (slot->option->type == TBAGENT_MAP && (slot->option->flags & (TBAGENT_KEYS | TBAGENT_PREFIXES))) {
                tables[1] = slot->option->flags & TBAGENT_KEYS ? key_option : prefix_option;
                tables[2] = channel_options;
        }
        r = build(&slot->members[slot->n_members], group, absent, path, name, tables, depth + 1, p);
        if (r >= 0)
                slot->n_members++;
        return r;
}

/* libconfig lets a name begin or go on with a star, which no address or telemetry key should. */
static bool name_is_plain(const char *name) {
        return !strchr(name, '*') && strlen(name) <= 64;
}

static int fill_map(Slot *slot, const Setting *s, const char *path, unsigned depth, Problems *p) {
        for (size_t i = 0; i < s->n_children; i++) {
                const Setting *child = s->children[i];
                char below[PATH_SIZE];
                int r;

                join(below, path, child->name);
                if (!name_is_plain(child->name))
                        problems_tell(p, child, "%s is no name: write at most 64 letters, digits, _ or -", below);
                else if (child->type != SETTING_GROUP)
                        problems_tell(p, child, "%s wants a group: write %s = { ... };", below, child->name);
                else {
                        r = add_member(slot, child, false, below, child->name, depth, p);
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

static int fill_members(Slot *slot, const Setting *s, const char *path, unsigned depth, Problems *p) {
        const struct tbagent_option *o = slot->option;
        bool fits = s && s->type == SETTING_GROUP;

        if (s && !fits && o->type == TBAGENT_MAP)
                problems_tell(p, s, "%s wants named groups: write %s = { NAME = { ... }; };", path, o->name);
        else if (s && !fits)
                problems_tell(p, s, "%s wants a group: write %s = { ... };", path, o->name);
        if (fits) {
                slot->value.set = true;
                slot->value.line = s->line;
                if (s->file && !(slot->value.file = strdup(s->file)))
                        return -ENOMEM;
        }
        if (!o->members)
                return 0;
        if (o->type == TBAGENT_MAP)
                return fits ? fill_map(slot, s, path, depth, p) : 0;
        return add_member(slot, fits ? s : NULL, !fits, path, o->name, depth, p);
}

static int fill_value(Slot *slot, const Setting *s, const char *path, Problems *p) {
        int r = -EINVAL;

        if (s)
                r = option_value_parse(&slot->value, slot->option, s, path, p);
        if (r == -EINVAL)
                r = option_value_fallback(&slot->value, slot->option, path, p);
        return r == -EINVAL ? 0 : r;
}

static int fill_slot(Slot *slot, const Node *n, const Setting *group, bool absent, unsigned depth, Problems *p) {
        const struct tbagent_option *o = slot->option;
        const Setting *s = group ? setting_child(group, o->name) : NULL;
        char path[PATH_SIZE];

        join(path, n->path, o->name);
        if (!s && !absent && (o->flags & TBAGENT_REQUIRED))
                problems_tell(p, group, "%s is missing%s%s", path, o->help ? ": " : "", o->help ? o->help : "");
        if (o->type == TBAGENT_GROUP || o->type == TBAGENT_MAP)
                return fill_members(slot, s, path, depth, p);
        return fill_value(slot, s, path, p);
}

static size_t table_size(const struct tbagent_option *table) {
        size_t n = 0;

        while (table && table[n].name)
                n++;
        return n;
}

static int make_slots(Node *n, const struct tbagent_option *const tables[static TABLES_MAX]) {
        size_t total = 0;

        for (size_t t = 0; t < TABLES_MAX; t++)
                total += table_size(tables[t]);
        n->slots = calloc(total + 1, sizeof(*n->slots));
        if (!n->slots)
                return -ENOMEM;
        for (size_t t = 0; t < TABLES_MAX; t++)
                for (size_t i = 0; i < table_size(tables[t]); i++) {
                        const struct tbagent_option *o = &tables[t][i];

                        n->slots[n->n_slots++] = (Slot){
                                .option = o,
                                .runtime = (o->flags & TBAGENT_RUNTIME) || tables[t] == channel_options,
                        };
                }
        return 0;
}

/* absent: the group is not in the file, so that nothing in it can be missing. */
static int build(Node **ret, const Setting *group, bool absent, const char *path, const char *name,
                 const struct tbagent_option *const tables[static TABLES_MAX], unsigned depth, Problems *p) {
        _cleanup_(node_freep) Node *n = calloc(1, sizeof(*n));
        int r;

        if (!n || !(n->name = strdup(name)) || !(n->path = strdup(path)))
                return -ENOMEM;
        /* settings cannot be deeper; a table that contains itself can */
        if (depth < SETTING_DEPTH_MAX) {
                r = make_slots(n, tables);
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; group && i < group->n_children; i++)
                if (!find_slot(n, group->children[i]->name, strlen(group->children[i]->name)))
                        tell_unknown(n, group->children[i], p);
        for (size_t i = 0; i < n->n_slots; i++) {
                r = fill_slot(&n->slots[i], n, group, absent, depth, p);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(n);
        return 0;
}

int node_new(Node **ret, const Setting *group, const char *path,
             const struct tbagent_option *const tables[static TABLES_MAX], problem_fn fn, void *userdata) {
        Problems p = { fn, userdata, 0 };

        *ret = NULL;
        if (group && group->type != SETTING_GROUP) {
                problems_tell(&p, group, "%s wants a group: write %s = { ... };", path, group->name ? group->name : "NAME");
                group = NULL;
        }
        if (build(ret, group, false, path, group && group->name ? group->name : "", tables, 0, &p) < 0)
                problems_tell(&p, group, "%s cannot be checked: out of memory", path);
        return p.n;
}

static const Slot *slot_of(const Node *n, const char *name) {
        const Slot *s = find_slot(n, name, strlen(name));

        assert(s);
        return s;
}

static const OptionValue *value_of(const Node *n, const char *name) {
        const Slot *s = slot_of(n, name);

        return s->has_live ? &s->live : &s->value;
}

bool node_is_set(const Node *n, const char *name) {
        return value_of(n, name)->set;
}

int64_t node_int(const Node *n, const char *name) {
        return value_of(n, name)->i;
}

double node_float(const Node *n, const char *name) {
        return value_of(n, name)->d;
}

const char *node_string(const Node *n, const char *name, size_t index) {
        char **strings = value_of(n, name)->strings;

        for (size_t i = 0; strings && strings[i]; i++)
                if (i == index)
                        return strings[i];
        return NULL;
}

size_t node_numbers(const Node *n, const char *name, const double **ret) {
        const OptionValue *v = value_of(n, name);

        *ret = v->numbers;
        return v->n_numbers;
}

bool node_is_percent(const Node *n, const char *name) {
        return value_of(n, name)->percent;
}

const Node *node_member(const Node *n, const char *name, size_t index) {
        const Slot *s = slot_of(n, name);

        return index < s->n_members ? s->members[index] : NULL;
}

const char *node_key(const Node *n) {
        for (size_t i = 0; i < n->n_slots; i++) {
                const Slot *s = &n->slots[i];

                if ((s->option == key_option || s->option == prefix_option) && s->value.strings)
                        return s->value.strings[0];
        }
        return n->name;
}

const char *node_path(const Node *n) {
        return n->path;
}

const char *node_own_name(const Node *n) {
        return n->name;
}

const char *node_file(const Node *n, const char *name, unsigned *ret_line) {
        const OptionValue *v = value_of(n, name);

        *ret_line = v->set ? v->line : 0;
        return v->set ? v->file : NULL;
}

static Node *member_named(const Slot *slot, const char *name, size_t length) {
        for (size_t i = 0; i < slot->n_members; i++)
                if (strncmp(slot->members[i]->name, name, length) == 0 && slot->members[i]->name[length] == '\0')
                        return slot->members[i];
        return NULL;
}

/* "GROUP.", "MAP.NAME." or, of a channel, just "NAME." at the begin of path; NULL: nothing has that name. */
static Node *step_down(Node *n, const char **path) {
        size_t length = strcspn(*path, ".");
        Slot *slot = find_slot(n, *path, length);
        Node *member = NULL;

        if (slot && slot->option->type == TBAGENT_GROUP && slot->n_members > 0)
                member = slot->members[0];
        else if (slot && slot->option->type == TBAGENT_MAP) {
                *path += length + 1;
                length = strcspn(*path, ".");
                member = member_named(slot, *path, length);
        } else
                for (size_t i = 0; i < n->n_slots && !member; i++)
                        if (n->slots[i].option->flags & (TBAGENT_KEYS | TBAGENT_PREFIXES))
                                member = member_named(&n->slots[i], *path, length);
        if (!member || (*path)[length] == '\0')
                return NULL;
        *path += length + 1;
        return member;
}

/* NULL: no such option; else *n is the node that has it and *path its name. */
static Slot *find_path(Node **n, const char **path) {
        Slot *slot;

        while (*n && strchr(*path, '.'))
                *n = step_down(*n, path);
        slot = *n ? find_slot(*n, *path, strlen(*path)) : NULL;
        return slot && slot->option->type != TBAGENT_GROUP && slot->option->type != TBAGENT_MAP ? slot : NULL;
}

char *node_json(Node *n, const char *path, bool in_effect) {
        const Slot *slot = find_path(&n, &path);

        if (!slot || (slot->option->flags & TBAGENT_SECRET))
                return NULL;
        return option_value_json(in_effect && slot->has_live ? &slot->live : &slot->value, slot->option);
}

int node_set(Node *n, const char *path, const Setting *setting, problem_fn fn, void *userdata) {
        Problems p = { fn, userdata, 0 };
        char full[PATH_SIZE];
        OptionValue live;
        Slot *slot = find_path(&n, &path);
        int r;

        if (!slot)
                return -ENOENT;
        if (!slot->runtime)
                return -EPERM;
        if (setting) {
                r = option_value_parse(&live, slot->option, setting, join(full, n->path, path), &p);
                if (r < 0)
                        return r;
                option_value_done(&slot->live);
                slot->live = live;
        } else
                option_value_done(&slot->live);
        slot->has_live = setting != NULL;
        return 0;
}
