/* SPDX-License-Identifier: Apache-2.0 */
/* What the table cannot say is told by options_check(): which options belong to which kind of line, and words that people bring
 * from elsewhere ("low", a bare number). So a mistake has its file and line in `tbagent --check`. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "gpio.h"

#define R TBAGENT_RUNTIME

static const struct tbagent_option line_options[] = {
        {"line", TBAGENT_STRING, TBAGENT_REQUIRED, NULL, 0, 0, NULL, NULL,
         "name (\"GPIO17\"), pin of a Raspberry Pi's header (\"pin11\"), or with chip its number there (\"3\")", NULL},
        {"chip", TBAGENT_STRING, 0, NULL, 0, 0, NULL, NULL,
         "the chip by its label, name or path; unset: the only one that has the line, or the header's", NULL},
        {"direction", TBAGENT_STRING, 0, "in", 0, 0, "in|out", NULL, "in: it is read; out: it is driven", NULL},
        {"active_low", TBAGENT_BOOL, 0, "false", 0, 0, NULL, NULL, "true: low is on", NULL},
        {"bias", TBAGENT_STRING, 0, "as-is", 0, 0, "as-is|pull-up|pull-down|disabled", NULL, "the chip's own resistor", NULL},
        {"mode", TBAGENT_STRING, 0, "state", 0, 0, "state|counter|pwm", NULL,
         "state: on or off; counter: pulses of an input; pwm: an output that is on for a part of the time", NULL},
        {"edge", TBAGENT_STRING, 0, NULL, 0, 0, "both|rising|falling|none", NULL,
         "which changes of an input count, rising is off to on, none: its level at each sample; unset: both, of a counter rising",
         NULL},
        {"debounce", TBAGENT_DURATION, R, "0s", 0, 60, NULL, "s",
         "an input has to be still for so long before a change counts, as the kernel sees it", NULL},
        {"immediate", TBAGENT_BOOL, R, "false", 0, 0, NULL, NULL,
         "changes of an input do not wait for telemetry.batch_interval", NULL},
        {"pulses_per_unit", TBAGENT_FLOAT, 0, "1", 1e-9, 1e12, NULL, NULL, "pulses of a counter for one unit of its total", NULL},
        {"initial_total", TBAGENT_FLOAT, 0, "0", 0, 1e15, NULL, NULL,
         "a counter's total, in units, where neither this machine nor the server knows one", NULL},
        {"rate_key", TBAGENT_STRING, 0, NULL, 0, 0, NULL, NULL, "key for how fast a counter counts, in units per rate_per", NULL},
        {"rate_per", TBAGENT_DURATION, R, "1h", 0.001, 31536000, NULL, "s", "time that rate_key is for", NULL},
        {"rate_timeout", TBAGENT_DURATION, R, "5min", 0.1, 86400, NULL, "s", "without a pulse for so long the rate is 0", NULL},
        {"drive", TBAGENT_STRING, 0, "push-pull", 0, 0, "push-pull|open-drain|open-source", NULL, "how an output drives", NULL},
        {"initial", TBAGENT_STRING, 0, "off", 0, 0, NULL, NULL,
         "what an output is from the moment that it is driven: off, on, last (as it was set last), as-is; what was kept stays",
         NULL},
        {"on_exit", TBAGENT_STRING, 0, "off", 0, 0, NULL, NULL,
         "what an output becomes when nobody drives it any more: off, on, as-is", NULL},
        {"on_disconnect", TBAGENT_STRING, R, "as-is", 0, 0, NULL, NULL,
         "what an output becomes without a server: off, on, as-is; when it is back the attribute counts again", NULL},
        {"on_disconnect_after", TBAGENT_DURATION, R, "1min", 0, 31536000, NULL, "s",
         "on_disconnect counts when the server cannot be reached for so long", NULL},
        {"attribute", TBAGENT_STRING, 0, NULL, 0, 0, NULL, NULL,
         "shared attribute that says what an output is to be: true or false, of pwm a number", NULL},
        {"pulse", TBAGENT_DURATION, R, "500ms", 0.001, 86400, NULL, "s",
         "length of a pulse where the method does not say it", NULL},
        {"pwm_period", TBAGENT_DURATION, R, "1s", 0.01, 86400, NULL, "s", "of pwm: on for its part, then off", NULL},
        {NULL, 0, 0, NULL, 0, 0, NULL, NULL, NULL, NULL},
};

const struct tbagent_option gpio_options[] = {
        {"lines", TBAGENT_MAP, TBAGENT_KEYS | TBAGENT_REQUIRED, NULL, 0, 0, NULL, NULL, "the lines, at most 60",
         line_options},
        {NULL, 0, 0, NULL, 0, 0, NULL, NULL, NULL, NULL},
};
#undef R

/* ---- reading */

static bool is(struct tbagent_host *h, const struct tbagent_node *n, const char *option, const char *value) {
        const char *text = tbagent_string(h, n, option, 0);

        return text && strcmp(text, value) == 0;
}

/* The place of the option's value among these. */
static int choice(struct tbagent_host *h, const struct tbagent_node *n, const char *option, const char *const *values) {
        int i = 0;

        while (values[i] && !is(h, n, option, values[i]))
                i++;
        return values[i] ? i : 0;
}

static int64_t duration_ns(struct tbagent_host *h, const struct tbagent_node *n, const char *option) {
        return tbagent_int(h, n, option) * 1000;
}

int options_preset(const char *text) {
        static const char *const names[] = {
                [PRESET_OFF] = "off", [PRESET_ON] = "on", [PRESET_LAST] = "last", [PRESET_AS_IS] = "as-is"};

        for (int i = 0; i <= PRESET_AS_IS; i++)
                if (text && strcmp(text, names[i]) == 0)
                        return i;
        return -1;
}

static Preset preset(struct tbagent_host *h, const struct tbagent_node *n, const char *option) {
        int p = options_preset(tbagent_string(h, n, option, 0));

        return p >= 0 ? (Preset)p : PRESET_AS_IS;
}

void options_read(struct tbagent_host *h, const struct tbagent_node *n, LineOptions *ret) {
        static const char *const biases[] = {"as-is", "pull-up", "pull-down", "disabled", NULL};
        static const char *const drives[] = {"push-pull", "open-drain", "open-source", NULL};
        static const char *const modes[] = {"state", "counter", "pwm", NULL};
        bool counter = is(h, n, "mode", "counter"), edge = tbagent_is_set(h, n, "edge");

        *ret = (LineOptions){
                .line = tbagent_string(h, n, "line", 0),
                .chip = tbagent_string(h, n, "chip", 0),
                .output = is(h, n, "direction", "out"),
                .active_low = tbagent_int(h, n, "active_low"),
                .mode = (Mode)choice(h, n, "mode", modes),
                .bias = (Bias)choice(h, n, "bias", biases),
                .rising = edge ? is(h, n, "edge", "both") || is(h, n, "edge", "rising") : true,
                .falling = edge ? is(h, n, "edge", "both") || is(h, n, "edge", "falling") : !counter,
                .immediate = tbagent_int(h, n, "immediate"),
                .debounce_usec = (uint32_t)tbagent_int(h, n, "debounce"),
                .per_unit = tbagent_float(h, n, "pulses_per_unit"),
                .initial_total = tbagent_float(h, n, "initial_total"),
                .rate_key = tbagent_string(h, n, "rate_key", 0),
                .rate_per_ns = duration_ns(h, n, "rate_per"),
                .rate_timeout_ns = duration_ns(h, n, "rate_timeout"),
                .drive = (Drive)choice(h, n, "drive", drives),
                .initial = preset(h, n, "initial"),
                .on_exit = preset(h, n, "on_exit"),
                .on_disconnect = preset(h, n, "on_disconnect"),
                .on_disconnect_after_ns = duration_ns(h, n, "on_disconnect_after"),
                .pulse_ns = duration_ns(h, n, "pulse"),
                .pwm_period_ns = duration_ns(h, n, "pwm_period"),
                .attribute = tbagent_string(h, n, "attribute", 0),
        };
        if (ret->output)
                ret->rising = ret->falling = false;
}

/* ---- checking */

typedef struct Check {
        struct tbagent_host *host;
        const struct tbagent_node *node;
} Check;

static void refuse(const Check *c, const char *option, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void refuse(const Check *c, const char *option, const char *format, ...) {
        char text[600];
        va_list ap;

        va_start(ap, format);
        vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        tbagent_problem(c->host, c->node, option, text);
}

/* For lines of one kind only; whoever sets it on another has something else in mind. */
static void refuse_set(const Check *c, const char *const *options, const char *what) {
        for (; *options; options++)
                if (tbagent_is_set(c->host, c->node, *options))
                        refuse(c, *options, "%s", what);
}

static void check_preset(const Check *c, const char *option, bool last) {
        const char *text = tbagent_string(c->host, c->node, option, 0);
        int p = options_preset(text);

        if (p >= 0 && (last || p != PRESET_LAST))
                return;
        if (strcasecmp(text, "low") == 0 || strcasecmp(text, "high") == 0)
                refuse(c, option, "= \"%s\" is a level: write \"off\" or \"on\", and active_low = true; where low is on", text);
        else
                refuse(c, option, "= \"%s\" is not known: write one of \"off\", \"on\", %s\"as-is\"", text,
                       last ? "\"last\", " : "");
}

static void check_output(const Check *c) {
        static const char *const of_inputs[] = {"edge", "debounce", "immediate", NULL};
        static const char *const of_counters[] = {"pulses_per_unit", "initial_total", "rate_key",
                                                  "rate_per",        "rate_timeout",  NULL};
        static const char *const of_pwm[] = {"pwm_period", NULL};

        refuse_set(c, of_inputs, "is for inputs, and this line has direction = \"out\": take it away");
        refuse_set(c, of_counters, "is for counters, and this line has direction = \"out\": take it away");
        if (is(c->host, c->node, "mode", "counter"))
                refuse(c, "mode", "= \"counter\" is for inputs: take direction = \"out\" away");
        else if (!is(c->host, c->node, "mode", "pwm"))
                refuse_set(c, of_pwm, "is for mode = \"pwm\": write that too, or take it away");
        check_preset(c, "initial", true);
        check_preset(c, "on_exit", false);
        check_preset(c, "on_disconnect", false);
}

static void check_input(const Check *c) {
        static const char *const of_outputs[] = {
                "initial", "on_exit", "on_disconnect", "on_disconnect_after", "attribute", "pulse", "drive", "pwm_period", NULL};
        static const char *const of_counters[] = {"pulses_per_unit", "initial_total", "rate_key",
                                                  "rate_per",        "rate_timeout",  NULL};
        static const char *const of_edges[] = {"debounce", "immediate", NULL};
        bool none = is(c->host, c->node, "edge", "none");

        refuse_set(c, of_outputs, "is for outputs: write direction = \"out\" too, or take it away");
        if (is(c->host, c->node, "mode", "pwm"))
                refuse(c, "mode", "= \"pwm\" is for outputs: write direction = \"out\" too");
        if (!is(c->host, c->node, "mode", "counter"))
                refuse_set(c, of_counters, "is for counters: write mode = \"counter\" too, or take it away");
        else if (none)
                refuse(c, "edge", "= \"none\" leaves a counter nothing to count: write \"rising\", \"falling\" or \"both\"");
        else if (strchr(tbagent_name(c->host, c->node), ','))
                refuse(c, "key", "has a comma: a counter's total is also a client attribute of that name, which can have none");
        if (none)
                refuse_set(c, of_edges, "needs edges: take edge = \"none\" away");
}

/* Two lines that are one: the second request would fail at run time, with no such words. */
static void check_twice(const Check *c, const Wanted *w, const Wanted *before, const char *channel) {
        bool same_chip = !w->chip || !before->chip || strcmp(w->chip, before->chip) == 0;
        bool same = w->how == before->how &&
                    (w->how == WANTED_NAME ? strcmp(w->name, before->name) == 0 : w->number == before->number);

        if (same && same_chip)
                refuse(c, "line", "= \"%s\" is the line of %s already", tbagent_string(c->host, c->node, "line", 0), channel);
}

int options_check(struct tbagent_host *host) {
        Wanted wanted[LINES_MAX];
        const char *names[LINES_MAX];
        char why[WHY_SIZE];
        Check c = {.host = host};
        size_t n = 0;

        for (size_t i = 0; (c.node = tbagent_member(host, tbagent_options(host), "lines", i)); i++) {
                if (i >= LINES_MAX) {
                        refuse(&c, "line", "is one too many: an instance has at most %d lines; the rest goes into another",
                               LINES_MAX);
                        break;
                }
                if (is(host, c.node, "direction", "out"))
                        check_output(&c);
                else
                        check_input(&c);
                if (wanted_parse(tbagent_string(host, c.node, "line", 0), tbagent_string(host, c.node, "chip", 0), &wanted[n],
                                 why) < 0) {
                        refuse(&c, "line", "%s", why);
                        continue;
                }
                for (size_t k = 0; k < n; k++)
                        check_twice(&c, &wanted[n], &wanted[k], names[k]);
                names[n++] = tbagent_channel(host, c.node);
        }
        return 0;
}
