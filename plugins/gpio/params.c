/* SPDX-License-Identifier: Apache-2.0 */
/* Dashboards differ in what they send for the same: a switch sends true, a slider 100, an old dashboard "true". The daemon has
 * taken text that holds JSON as that JSON already. What may stand for itself may also stand in an object, which is where
 * `expires` has room. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <json-c/json.h>

#include "params.h"

#define TIME_MAX_NS 86400e9

/* The root to be put, and the value in question: of `member`, where there is an object with it. */
static json_object *value_of(const char *json, const char *member, json_object **ret_root) {
        json_object *root = json_tokener_parse(json), *value;

        *ret_root = root;
        if (member && json_object_is_type(root, json_type_object))
                return json_object_object_get_ex(root, member, &value) ? value : NULL;
        return root;
}

static int number_of(json_object *o, double *ret) {
        const char *text;
        char *end;

        if (json_object_is_type(o, json_type_int) || json_object_is_type(o, json_type_double))
                *ret = json_object_get_double(o);
        else if (json_object_is_type(o, json_type_string)) {
                text = json_object_get_string(o);
                *ret = strtod(text, &end);
                if (end == text || *end)
                        return -EINVAL;
        } else
                return -EINVAL;
        return isfinite(*ret) ? 0 : -EINVAL;
}

static int duty_of(json_object *o, bool percent, double *ret) {
        static const struct {
                const char *text;
                double duty;
        } words[] = {{"on", 100}, {"off", 0}, {"true", 100}, {"false", 0}};
        double number;

        if (json_object_is_type(o, json_type_boolean)) {
                *ret = json_object_get_boolean(o) ? 100 : 0;
                return 0;
        }
        for (size_t i = 0; json_object_is_type(o, json_type_string) && i < sizeof(words) / sizeof(words[0]); i++)
                if (strcasecmp(json_object_get_string(o), words[i].text) == 0) {
                        *ret = words[i].duty;
                        return 0;
                }
        if (number_of(o, &number) < 0 || number < 0 || number > 100)
                return -EINVAL;
        if (!percent && number != 0 && number != 1)
                return -EINVAL;
        *ret = percent ? number : number * 100;
        return 0;
}

int params_duty(const char *json, bool percent, double *ret) {
        json_object *root, *value = value_of(json, "value", &root);
        int r = value ? duty_of(value, percent, ret) : -EINVAL;

        json_object_put(root);
        return r;
}

static int text_time(const char *text, double *ret_ns) {
        static const struct {
                const char *unit;
                double ns;
        } units[] = {{"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"min", 60e9}, {"h", 3600e9}};
        char *end;
        double number;

        number = strtod(text, &end);
        if (end == text)
                return -EINVAL;
        while (*end == ' ')
                end++;
        for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
                if (strcmp(end, units[i].unit) == 0) {
                        *ret_ns = number * units[i].ns;
                        return 0;
                }
        return -EINVAL;
}

static int time_of(json_object *o, int64_t *ret_ns) {
        double ns;
        int r;

        if (json_object_is_type(o, json_type_string))
                r = text_time(json_object_get_string(o), &ns);
        else {
                r = number_of(o, &ns);
                ns *= 1e6;
        }
        if (r < 0 || !(ns >= 1e6 && ns <= TIME_MAX_NS))
                return -EINVAL;
        *ret_ns = (int64_t)ns;
        return 1;
}

int params_time(const char *json, int64_t *ret_ns) {
        json_object *root = json_tokener_parse(json), *o = root;
        int r = 0;

        if (json_object_is_type(root, json_type_object) && !json_object_object_get_ex(root, "ms", &o) &&
            !json_object_object_get_ex(root, "time", &o))
                o = NULL;
        if (o && !json_object_is_type(o, json_type_boolean)) /* a switch that pulses: true, and that is all */
                r = time_of(o, ret_ns);
        json_object_put(root);
        return r;
}

int params_number(const char *json, double *ret) {
        json_object *root, *value = value_of(json, "value", &root);
        int r = value ? number_of(value, ret) : -EINVAL;

        json_object_put(root);
        return r;
}

int params_pin(const char *json, unsigned *ret_pin, bool *ret_on) {
        json_object *root = json_tokener_parse(json), *pin, *enabled;
        double number, duty;
        int r = -EINVAL;

        if (json_object_is_type(root, json_type_object) && json_object_object_get_ex(root, "pin", &pin) &&
            json_object_object_get_ex(root, "enabled", &enabled) && number_of(pin, &number) == 0 && number >= 1 &&
            number <= 999 && number == floor(number) && duty_of(enabled, false, &duty) == 0) {
                *ret_pin = (unsigned)number;
                *ret_on = duty > 0;
                r = 0;
        }
        json_object_put(root);
        return r;
}

int params_attribute(const char *json, const char *key, double *ret) {
        json_object *root = json_tokener_parse(json), *client, *value;
        int r = -ENOENT;

        if (json_object_is_type(root, json_type_object) && json_object_object_get_ex(root, "client", &client) &&
            json_object_is_type(client, json_type_object) && json_object_object_get_ex(client, key, &value) &&
            number_of(value, ret) == 0)
                r = 0;
        json_object_put(root);
        return r;
}
