/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include "agent/config-check.h"
#include "agent/credentials.h"
#include "model/frame.h"

#define INTAKE_RATE (256 * KIB)
#define INTAKE_BURST 4 /* seconds of it */
#define PERSIST (15 * 60 * USEC_PER_SEC)
#define ON_EXIT_AFTER USEC_PER_SEC
#define INSTANCE_SIZE_MAX (FRAME_SIZE_MAX - 16 * KIB) /* beside it in FRAME_SETUP: names and the kept state */

#define CHOICE(n, list, def) .name = (n), .type = TBAGENT_STRING, .choices = (list), .fallback = (def)
#define TEXT(n) .name = (n), .type = TBAGENT_STRING
#define DURATION(n, def, low, high) .name = (n), .type = TBAGENT_DURATION, .fallback = (def), .min = (low), .max = (high)
#define SIZE(n, def, low, high)                                                                                      \
        .name = (n), .type = TBAGENT_SIZE, .fallback = (def), .min = (double)(low), .max = (double)(high)

static const struct tbagent_option server_table[] = {
        { TEXT("url"), .help = "mqtt://HOST or mqtts://HOST, with :PORT where it is not 1883 or 8883" },
        { TEXT("token"), .flags = TBAGENT_SECRET, .help = "access token of the device" },
        { TEXT("token_file"), .help = "file with the access token; default /etc/tbagent.token" },
        { TEXT("username"), .help = "MQTT basic credentials" },
        { TEXT("password"), .flags = TBAGENT_SECRET, .help = "MQTT basic credentials" },
        { TEXT("client_id"), .help = "default: tbagent- and 12 digits of the machine id" },
        { CHOICE("protocol", "auto|5|3.1.1", "auto"), .help = "MQTT version" },
        { DURATION("keepalive", "30s", 10, 300), .help = "a dead connection is noticed after 2.5 times this" },
        { TEXT("ca"), .help = "PEM file of the authority that signed the server's certificate; default: the system's" },
        { TEXT("cert"), .help = "PEM file of the client certificate (X.509)" },
        { TEXT("key"), .help = "PEM file of the client's private key" },
        { 0 },
};
static const struct tbagent_option telemetry_table[] = {
        { DURATION("batch_interval", "1s", 0.01, 86400), .help = "how long rows are gathered before they are sent" },
        { SIZE("batch_size", "16k", KIB, 64 * KIB), .help = "largest message" },
        { DURATION("store_after", "5s", 0.1, 3600), .help = "rows not acknowledged by then go to the disk" },
        { SIZE("store_max", "256M", MIB, 1024.0 * 1024 * MIB), .help = "most that the store takes on the disk" },
        { .name = "backlog_rate", .type = TBAGENT_INT, .fallback = "2000", .max = 1e9,
          .help = "stored rows sent per second where the server names no limits; 0: as fast as it acknowledges" },
        { SIZE("ring_size", "1M", 64 * KIB, 1024 * MIB), .help = "rows in memory" },
        { DURATION("wait_for_clock", "2min", 0, 86400), .help = "how long rows wait for a trusted clock" },
        { CHOICE("order", "live-first|strict", "live-first"), .help = "what is sent first after a time without connection" },
        { 0 },
};
static const struct tbagent_option attributes_table[] = {
        { .name = "client", .type = TBAGENT_GROUP, .help = "client attributes to publish" },
        { .name = "remote_settings",
          .type = TBAGENT_BOOL,
          .fallback = "true",
          .help = "let shared attributes change runtime options" },
        { 0 },
};
static const struct tbagent_option rpc_table[] = {
        { .name = "aliases", .type = TBAGENT_GROUP, .help = "other names of methods: setValue = \"pump.set\"" },
        { 0 },
};
static const struct tbagent_option provision_table[] = {
        { TEXT("key"), .flags = TBAGENT_REQUIRED | TBAGENT_SECRET, .help = "provision key of the device profile" },
        { TEXT("secret"), .flags = TBAGENT_REQUIRED | TBAGENT_SECRET, .help = "provision secret of the device profile" },
        { TEXT("name"), .fallback = "%s",
          .help = "name of the device: %s serial number of the board, %m of the installation, %M model, %H host" },
        { CHOICE("credentials", "token|basic|x509", "token"), .help = "kind of credentials that the device makes for itself" },
        { CHOICE("identity", "board|card", "board"), .help = "what the credentials belong to" },
        { 0 },
};
enum { TOP_SERVER, TOP_TELEMETRY, TOP_ATTRIBUTES, TOP_REPORT };
/* `report` takes the channel options, which are known at run time only. */
static struct tbagent_option top_table[] = {
        [TOP_SERVER] = { .name = "server", .type = TBAGENT_GROUP, .members = server_table },
        [TOP_TELEMETRY] = { .name = "telemetry", .type = TBAGENT_GROUP, .members = telemetry_table },
        [TOP_ATTRIBUTES] = { .name = "attributes", .type = TBAGENT_GROUP, .members = attributes_table },
        [TOP_REPORT] = { .name = "report", .type = TBAGENT_GROUP },
        { .name = "rpc", .type = TBAGENT_GROUP, .members = rpc_table },
        { .name = "provision", .type = TBAGENT_GROUP, .members = provision_table },
        { .name = "plugins", .type = TBAGENT_GROUP },
        { CHOICE("clock", "auto|system", "auto"), .help = "system: trust the wall clock as it is" },
        { CHOICE("log_level", "error|warning|notice|info|debug", "info"), .help = "least urgent lines of the log" },
        { 0 },
};

typedef struct Check {
        ConfigProblems *problems;
        const char *main_file;
} Check;

static void on_problem(void *userdata, bool fatal, const char *file, unsigned line, const char *text) {
        Check *c = userdata;

        config_problems_add(c->problems, fatal, "", file ? file : c->main_file, line, "%s", text);
}

/* "server.url" and its place, for a mistake in an option that is set. */
static void tell_option(Check *c, const Node *group, const char *name, bool fatal, const char *format, ...) _printf_(5, 6);
static void tell_option(Check *c, const Node *group, const char *name, bool fatal, const char *format, ...) {
        char text[512];
        unsigned line;
        const char *file = node_file(group, name, &line);
        va_list ap;

        va_start(ap, format);
        vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        config_problems_add(c->problems, fatal, "", file ? file : c->main_file, line, "%s.%s %s",
                            node_own_name(group), name, text);
}

/* ---- server */

/* The host in whatever somebody took for the address of a server. */
static void guess_host(const char *url, char *out, size_t size) {
        const char *host = strstr(url, "://"), *at;
        size_t n;

        host = host ? host + 3 : url;
        at = strrchr(host, '@');
        host = at ? at + 1 : host;
        n = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/?# ");
        snprintf(out, size, "%.*s", (int)MIN(n, size - 1), host);
        if (out[0] == '\0')
                snprintf(out, size, "HOST");
}

static void check_scheme(Check *c, const Node *server, const char *url) {
        static const char *const hints[][3] = {
                { "tcp://", "mqtt", "" },
                { "ssl://", "mqtts", "" },
                { "tls://", "mqtts", "" },
                { "ws://", "mqtt", "ThingsBoard takes devices by MQTT over TCP, not over web sockets: " },
                { "wss://", "mqtts", "ThingsBoard takes devices by MQTT over TCP, not over web sockets: " },
                { "http://", "mqtt", "that is the address for browsers: " },
                { "https://", "mqtts", "that is the address for browsers: " },
                { "coap://", "mqtt", "" },
                { "mqtt://", "mqtt", "" },
                { "mqtts://", "mqtts", "" },
        };
        char host[128];

        guess_host(url, host, sizeof(host));
        for (size_t i = 0; i < ELEMENTS(hints); i++)
                if (strncasecmp(url, hints[i][0], strlen(hints[i][0])) == 0) {
                        tell_option(c, server, "url", true, "does not begin with mqtt:// or mqtts://: %swrite \"%s://%s\"",
                                    hints[i][2], hints[i][1], host);
                        return;
                }
        tell_option(c, server, "url", true, "does not begin with mqtt:// or mqtts:// (TLS): write \"mqtt://%s\"", host);
}

static bool host_is_plain(const char *host, size_t n) {
        bool six = n > 2 && host[0] == '[' && host[n - 1] == ']';

        for (size_t i = six; i < n - six; i++)
                if (!isalnum((unsigned char)host[i]) && !strchr(six ? ":." : ".-_", host[i]))
                        return false;
        return n > 0;
}

static void check_url(Check *c, const Node *server) {
        const char *url = node_string(server, "url", 0), *host, *port;
        bool tls;
        size_t n;

        if (!url)
                return;
        tls = strncmp(url, "mqtts://", 8) == 0;
        if (!tls && strncmp(url, "mqtt://", 7) != 0) {
                check_scheme(c, server, url);
                return;
        }
        host = url + (tls ? 8 : 7);
        if (strchr(host, '@')) {
                tell_option(c, server, "url", true, "has a user name in it: write that as server.username, or as server.token");
                return;
        }
        n = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/?#");
        n = MIN(n, strlen(host));
        if (!host_is_plain(host, n)) {
                tell_option(c, server, "url", true, "has no host name or address behind %s://: write \"%s://HOST\"",
                            tls ? "mqtts" : "mqtt", tls ? "mqtts" : "mqtt");
                return;
        }
        port = host + n;
        if (*port == ':') {
                size_t digits = strspn(port + 1, "0123456789");
                long number = digits > 0 && digits < 6 ? strtol(port + 1, NULL, 10) : 0;

                if (number < 1 || number > 65535) {
                        tell_option(c, server, "url", true,
                                    "has no port behind the colon: write 1 to 65535, or nothing for %d",
                                    tls ? 8883 : 1883);
                        return;
                }
                if (number == (tls ? 1883 : 8883))
                        tell_option(c, server, "url", false, "has the usual port of %s: is it \"%s://%.*s\"?",
                                    tls ? "mqtt://" : "mqtts:// (TLS)", tls ? "mqtt" : "mqtts", (int)n, host);
                port += 1 + digits;
        }
        if (*port != '\0')
                tell_option(c, server, "url", true, "goes on behind host and port: write \"%.*s\"", (int)(port - url), url);
}

static bool readable_by_all(const char *file) {
        struct stat st;

        return stat(file, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & S_IROTH);
}

static void check_secret(Check *c, const Node *group, const char *name) {
        unsigned line;
        const char *file = node_file(group, name, &line);

        if (file && readable_by_all(file))
                tell_option(c, group, name, true,
                            "stands in a file that everybody can read: chown root:tbagent %s; chmod 640 %s", file,
                            file);
}

/* A warning alone: refusing what a device connects with would cut it off at the next reconnect. */
static void check_secret_file(Check *c, const Node *server, const char *name) {
        const char *file = node_string(server, name, 0);

        if (file && readable_by_all(file))
                tell_option(c, server, name, false,
                            "names a file that everybody can read: chown root:tbagent %s; chmod 640 %s", file, file);
}

static void check_default_token_file(Check *c, const Node *server) {
        static const char file[] = TBAGENT_TOKEN_FILE;

        if (node_is_set(server, "url") && !node_is_set(server, "token_file") && readable_by_all(file))
                config_problems_add(c->problems, false, "", file, 0,
                                    "everybody can read this access token: chown root:tbagent %s; chmod 640 %s", file, file);
}

/* What the files hold is looked at when it is read (agent/credentials). */
static void check_sources(Check *c, const Node *server, const Node *provision) {
        static const char *const names[] = { "token", "token_file", "username", "cert" };
        bool own = node_is_set(provision, "key");
        const char *first = NULL;

        for (size_t i = 0; i < ELEMENTS(names); i++) {
                if (!node_is_set(server, names[i]))
                        continue;
                if (first || own)
                        tell_option(c, server, names[i], true, "is a second source of credentials beside %s%s: remove one",
                                    first ? "server." : "provision", first ? first : "");
                else
                        first = names[i];
        }
        if (node_is_set(server, "password") && !node_is_set(server, "username"))
                tell_option(c, server, "password", true, "needs server.username too");
        if (node_is_set(server, "key") && !node_is_set(server, "cert"))
                tell_option(c, server, "key", true, "needs server.cert too");
}

static void check_provision(Check *c, const Node *server, const Node *provision) {
        const char *url = node_string(server, "url", 0);

        if (!node_is_set(provision, "key"))
                return;
        if (!url)
                tell_option(c, provision, "key", true, "needs server.url: write server = { url = \"mqtts://HOST\"; };");
        else if (streq(node_string(provision, "credentials", 0), "x509") && strncmp(url, "mqtts://", 8) != 0)
                tell_option(c, provision, "credentials", true, "= \"x509\" is for TLS only: write server.url with mqtts://");
}

static void check_server(Check *c, const Node *server, const Node *provision) {
        static const char *const files[] = { "token_file", "ca", "cert", "key" };
        static const char *const tls[] = { "ca", "cert", "key" };
        static const char *const ids[] = { "token", "username", "client_id" };
        static const char *const any[] = { "token", "token_file", "username", "password", "ca", "cert", "key" };
        const char *url = node_string(server, "url", 0), *text;

        check_url(c, server);
        check_sources(c, server, provision);
        check_provision(c, server, provision);
        for (size_t i = 0; i < ELEMENTS(files); i++)
                if ((text = node_string(server, files[i], 0)) && text[0] != '/')
                        tell_option(c, server, files[i], true, "= \"%s\" is no full path: write one that begins with /", text);
        for (size_t i = 0; i < ELEMENTS(tls) && url && strncmp(url, "mqtt://", 7) == 0; i++)
                if (node_is_set(server, tls[i]))
                        tell_option(c, server, tls[i], true, "is for TLS only: write server.url with mqtts://");
        for (size_t i = 0; i < ELEMENTS(ids); i++)
                if ((text = node_string(server, ids[i], 0)) && (streq(text, "provision") || text[0] == '\0'))
                        tell_option(c, server, ids[i], true, "%s",
                                    text[0] == '\0'
                                            ? "is empty"
                                            : "must not be \"provision\": ThingsBoard keeps that word for itself");
        for (size_t i = 0; i < ELEMENTS(any) && !url; i++)
                if (node_is_set(server, any[i])) {
                        tell_option(c, server, any[i], true, "needs server.url: write url = \"mqtts://HOST\";");
                        break;
                }
}

static void check_aliases(Check *c, const Setting *root) {
        const Setting *aliases = setting_lookup(root, "rpc.aliases");

        for (size_t i = 0; aliases && aliases->type == SETTING_GROUP && i < aliases->n_children; i++) {
                const Setting *s = aliases->children[i];

                if (s->type != SETTING_STRING)
                        config_problems_add(
                                c->problems, true, "", s->file, s->line,
                                "rpc.aliases.%s wants the name of a method: write %s = \"INSTANCE.METHOD\";", s->name,
                                s->name);
        }
}

void config_check_top(const Setting *root, const char *main_file, bool rights, Node **ret, ConfigProblems *problems) {
        const struct tbagent_option *const tables[4] = { top_table };
        Check c = { problems, main_file };
        const Node *server, *provision;
        Node *top;

        top_table[TOP_REPORT].members = option_channel_options();
        *ret = NULL;
        if (node_new(&top, root, "", tables, on_problem, &c) > 0 && !top)
                return;
        server = node_member(top, "server", 0);
        provision = node_member(top, "provision", 0);
        check_server(&c, server, provision);
        check_aliases(&c, root);
        if (rights) {
                check_secret(&c, server, "token");
                check_secret(&c, server, "password");
                check_secret(&c, provision, "secret");
                check_secret_file(&c, server, "token_file");
                check_secret_file(&c, server, "key");
                check_default_token_file(&c, server);
        }
        *ret = top;
}

/* ---- instances */

/* A letter, then letters, digits, _ and -. */
static bool name_is_plain(const char *name) {
        if (!isalpha((unsigned char)*name) || strlen(name) > 64)
                return false;
        for (; *name != '\0'; name++)
                if (!isalnum((unsigned char)*name) && *name != '_' && *name != '-')
                        return false;
        return true;
}

static bool bool_of(const Setting *group, const char *name, bool fallback) {
        const Setting *s = setting_child(group, name);

        return s && s->type == SETTING_BOOL ? s->b : fallback;
}

static const char *text_of(const Setting *group, const char *name) {
        const Setting *s = setting_child(group, name);

        return s && s->type == SETTING_STRING ? s->s : NULL;
}

static void tell_instance(ConfigInstance *i, const Setting *where, ConfigProblems *p, const char *format, ...) _printf_(4, 5);
static void tell_instance(ConfigInstance *i, const Setting *where, ConfigProblems *p, const char *format, ...) {
        char text[400];
        va_list ap;

        va_start(ap, format);
        vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        config_problems_add(p, true, i->name, where->file, where->line, "plugins.%s%s", i->name, text);
        i->misconfigured = true;
}

static void check_plugin(ConfigInstance *i, const Setting *instance, ConfigProblems *p) {
        const Setting *plugin = setting_child(instance, "plugin");

        i->plugin = text_of(instance, "plugin");
        if (!plugin)
                tell_instance(i, instance, p,
                              ".plugin is missing: write plugin = \"NAME\"; like \"system\", \"exec\", \"gpio\", \"i2c\", "
                              "\"onewire\"");
        else if (!i->plugin)
                tell_instance(i, plugin, p, ".plugin wants the name of a plugin in quotes, like \"system\"");
        else if (!name_is_plain(i->plugin))
                tell_instance(i, plugin, p,
                              ".plugin = \"%.64s\" is no name of a plugin: write it without folder and .so",
                              i->plugin);
        if (!i->plugin)
                i->plugin = "";
}

/* The instance's own report rules over those of the top; what is no group is left for the host to tell. */
static int merge_report(const Setting *root, Setting *settings) {
        const Setting *defaults = setting_child(root, "report"), *own = setting_child(settings, "report");
        _cleanup_(setting_freep) Setting *merged = NULL;
        int r;

        if (!defaults || defaults->type != SETTING_GROUP || (own && own->type != SETTING_GROUP))
                return 0;
        r = setting_copy(&merged, defaults);
        if (r >= 0 && own) {
                Setting *copy;

                r = setting_copy(&copy, own);
                if (r >= 0)
                        r = setting_merge(merged, copy);
        }
        if (r < 0)
                return r;
        setting_remove(settings, "report");
        return setting_add(settings, TAKE_PTR(merged));
}

/* telemetry.order is that of every instance without one of its own; its host marks the rows. */
static int merge_order(const Setting *root, Setting *settings) {
        const Setting *telemetry = setting_child(root, "telemetry"), *order = NULL;
        Setting *copy;
        int r;

        if (telemetry && telemetry->type == SETTING_GROUP)
                order = setting_child(telemetry, "order");
        if (!order || setting_child(settings, "order"))
                return 0;
        r = setting_copy(&copy, order);
        return r < 0 ? r : setting_add(settings, copy);
}

static void fill(const Setting *settings, ConfigInstance *i) {
        const char *order = text_of(settings, "order"), *intake = text_of(settings, "intake");
        const char *burst = text_of(settings, "intake_burst"), *persist = text_of(settings, "persist");
        const char *on_exit_after = text_of(settings, "on_exit_after");

        i->enabled = bool_of(settings, "enabled", true);
        i->optional = bool_of(settings, "optional", false);
        i->strict_order = order && streq(order, "strict");
        if (!intake || size_parse(intake, &i->intake_rate) < 0)
                i->intake_rate = INTAKE_RATE;
        if (!burst || size_parse(burst, &i->intake_burst) < 0)
                i->intake_burst = INTAKE_BURST * i->intake_rate;
        if (!persist || duration_parse(persist, &i->persist) < 0)
                i->persist = PERSIST;
        if (!on_exit_after || duration_parse(on_exit_after, &i->on_exit_after) < 0)
                i->on_exit_after = ON_EXIT_AFTER;
}

bool config_check_instance(const Setting *root, const Setting *instance, ConfigInstance *ret, Setting **ret_settings,
                           ConfigProblems *problems) {
        _cleanup_(setting_freep) Setting *settings = NULL;
        ConfigInstance i = { .name = instance->name, .file = instance->file, .line = instance->line };

        if (instance->type != SETTING_GROUP) {
                tell_instance(&i, instance, problems, " wants a group: write %s = { plugin = \"NAME\"; ... };", i.name);
                return false;
        }
        if (setting_copy(&settings, instance) < 0 || merge_report(root, settings) < 0 || merge_order(root, settings) < 0)
                return false;
        if (!name_is_plain(i.name))
                tell_instance(
                        &i, instance, problems,
                        " is no name of an instance: write a letter, then letters, digits, _ and -, at most 64");
        else if (streq(i.name, "agent"))
                tell_instance(&i, instance, problems, " cannot be called that: agent.* are the methods of tbagent itself");
        check_plugin(&i, instance, problems);
        fill(settings, &i);
        if (setting_encoded_size(settings) > INSTANCE_SIZE_MAX)
                tell_instance(&i, instance, problems, " has too many settings: they take more than %zu KiB",
                              INSTANCE_SIZE_MAX / KIB);
        *ret = i;
        *ret_settings = TAKE_PTR(settings);
        ret->settings = *ret_settings;
        return true;
}
