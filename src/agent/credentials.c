/* SPDX-License-Identifier: Apache-2.0 */
/* A token may stand in the configuration, in a file, or be handed over by systemd. Whoever sets a second one
 * expects it to be used, and which of two wins nobody remembers a year later: two are an error that names
 * both, also where one of them is only a file that lies about. The files are read for each connect, so that a
 * new token needs no restart; the one from systemd is a copy made when the service started. */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

#include "agent/credentials.h"
#include "base/file.h"

#define TOKEN_SIZE_MAX 4096
#define WHERE_IT_STANDS "in ThingsBoard: Devices > the device > Copy access token"

typedef struct Source {
        const char *what; /* for messages */
        const char *file; /* NULL: not in a file */
} Source;

typedef struct Sources {
        Source list[7];
        size_t n;
        char credential[256];
} Sources;

static void add(Sources *s, const char *what, const char *file) {
        s->list[s->n++] = (Source){ what, file };
}

static void find_sources(const Node *server, const Node *provision, Sources *s) {
        const char *folder = getenv("CREDENTIALS_DIRECTORY"), *token_file = node_string(server, "token_file", 0);

        *s = (Sources){ 0 };
        if (node_is_set(provision, "key"))
                add(s, "provision", NULL);
        if (node_string(server, "token", 0))
                add(s, "server.token", NULL);
        if (token_file)
                add(s, "server.token_file", token_file);
        if (node_string(server, "username", 0))
                add(s, "server.username", NULL);
        if (node_string(server, "cert", 0))
                add(s, "server.cert", NULL);
        if (folder && snprintf(s->credential, sizeof(s->credential), "%s/tbagent.token", folder) < (int)sizeof(s->credential) &&
            access(s->credential, F_OK) == 0)
                add(s, "the systemd credential tbagent.token", s->credential);
        if (!token_file && access(TBAGENT_TOKEN_FILE, F_OK) == 0)
                add(s, TBAGENT_TOKEN_FILE, TBAGENT_TOKEN_FILE);
}

static int fail(int error, char **ret_text, const char *format, ...) _printf_(3, 4);
static int fail(int error, char **ret_text, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        if (vasprintf(ret_text, format, ap) < 0) {
                *ret_text = NULL;
                error = -ENOMEM;
        }
        va_end(ap);
        return error;
}

static int tell_unreadable(int error, const char *file, char **ret_text) {
        if (error == -ENOENT)
                return fail(error, ret_text, "%s is not there: put the access token into it (" WHERE_IT_STANDS
                                             "), then: chown root:tbagent %s; chmod 640 %s", file, file, file);
        if (error == -E2BIG)
                return fail(error, ret_text, "%s is too large for an access token (" WHERE_IT_STANDS ")", file);
        return fail(error, ret_text, "%s cannot be read (%s): chown root:tbagent %s; chmod 640 %s", file,
                    strerror(-error), file, file);
}

/* One line of visible characters; blanks and line ends around it are taken off. */
static int take_token(char *text, size_t size, const char *file, char **ret, char **ret_text) {
        char *begin = text, *end = text + size;

        while (begin < end && isspace((unsigned char)*begin))
                begin++;
        while (end > begin && isspace((unsigned char)end[-1]))
                end--;
        if (begin == end)
                return fail(-ENODATA, ret_text, "%s is empty: put the access token into it (" WHERE_IT_STANDS ")", file);
        for (const char *p = begin; p < end; p++)
                if ((unsigned char)*p <= 0x20 || *p == 0x7f)
                        return fail(-EBADMSG, ret_text,
                                    "%s holds more than an access token: leave one line with the token in it", file);
        *ret = strndup(begin, (size_t)(end - begin));
        return *ret ? 0 : -ENOMEM;
}

static int read_token(const char *file, char **ret, char **ret_text) {
        _cleanup_(freep) char *text = NULL;
        size_t size;
        int r;

        r = file_read(file, TOKEN_SIZE_MAX, &text, &size);
        if (r < 0)
                return tell_unreadable(r, file, ret_text);
        r = take_token(text, size, file, ret, ret_text);
        explicit_bzero(text, size);
        return r;
}

static int copy(const char *text, char **ret) {
        *ret = text ? strdup(text) : NULL;
        return text && !*ret ? -ENOMEM : 0;
}

int credentials_read(const Node *server, const Node *provision, char **ret_username, char **ret_password, char **ret_text) {
        _cleanup_(freep) char *username = NULL, *password = NULL, *text = NULL;
        Sources s;
        int r;

        find_sources(server, provision, &s);
        if (s.n > 1)
                r = fail(-EINVAL, &text, "there are two sources of credentials, %s and %s: remove one",
                         s.list[0].what, s.list[1].what);
        else if ((s.n == 0 && node_string(server, "client_id", 0)) || (s.n == 1 && node_is_set(provision, "key")))
                r = 0; /* there is nothing here to be shown */
        else if (s.n == 0)
                r = tell_unreadable(-ENOENT, TBAGENT_TOKEN_FILE, &text);
        else if (s.list[0].file)
                r = read_token(s.list[0].file, &username, &text);
        else if (node_string(server, "token", 0))
                r = copy(node_string(server, "token", 0), &username);
        else {
                r = copy(node_string(server, "username", 0), &username);
                if (r >= 0)
                        r = copy(node_string(server, "password", 0), &password);
        }
        if (r < 0) {
                *ret_text = TAKE_PTR(text);
                return r;
        }
        *ret_username = TAKE_PTR(username);
        *ret_password = TAKE_PTR(password);
        return 0;
}
