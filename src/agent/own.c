/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/random.h>

#include "agent/certificate.h"
#include "agent/config.h"
#include "agent/own.h"
#include "base/file.h"

#define SECRET_SIZE 20 /* of 62 letters and digits: 119 bits */
#define CERT_FILE "device.crt"
#define KEY_FILE "device.key"
#define HEAD "# Credentials of this device at its ThingsBoard server, made by tbagent (provision). Keep them secret.\n"

void own_done(Own *o) {
        char *secrets[] = { o->token, o->password };
        char *all[] = { o->name, o->token, o->client_id, o->username, o->password, o->certificate, o->cert_file, o->key_file,
                        o->board, o->server };

        for (size_t i = 0; i < ELEMENTS(secrets); i++)
                if (secrets[i])
                        explicit_bzero(secrets[i], strlen(secrets[i]));
        for (size_t i = 0; i < ELEMENTS(all); i++)
                free(all[i]);
        *o = (Own){ 0 };
}

static void tell(char **ret, const char *format, ...) _printf_(2, 3);
static void tell(char **ret, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        if (vasprintf(ret, format, ap) < 0)
                *ret = NULL;
        va_end(ap);
}

/* ---- the file */

static void write_text(FILE *f, const char *name, const char *text) {
        if (!text)
                return;
        fprintf(f, "%s = \"", name);
        for (; *text; text++) {
                if (*text == '"' || *text == '\\')
                        fputc('\\', f);
                if (*text == '\n')
                        fputs("\\n", f);
                else
                        fputc(*text, f);
        }
        fputs("\";\n", f);
}

char *own_text(const Own *o, size_t *ret_size) {
        char *text = NULL;
        FILE *f = open_memstream(&text, ret_size);

        if (!f)
                return NULL;
        fputs(HEAD, f);
        fprintf(f, "granted = %s;\n", o->granted ? "true" : "false");
        write_text(f, "type", provision_type_name(o->type));
        write_text(f, "name", o->name);
        write_text(f, "token", o->token);
        write_text(f, "client_id", o->client_id);
        write_text(f, "username", o->username);
        write_text(f, "password", o->password);
        write_text(f, "certificate", o->certificate);
        write_text(f, "board", o->board);
        write_text(f, "server", o->server);
        if (fclose(f) == 0)
                return text;
        free(text);
        return NULL;
}

static int copy_text(const Setting *root, const char *name, char **ret) {
        const Setting *s = setting_child(root, name);

        *ret = s && s->type == SETTING_STRING ? strdup(s->s) : NULL;
        return s && s->type == SETTING_STRING && !*ret ? -ENOMEM : 0;
}

static int read_texts(const Setting *root, Own *o) {
        const struct {
                const char *name;
                char **to;
        } texts[] = {
                { "name", &o->name },         { "token", &o->token },       { "client_id", &o->client_id },
                { "username", &o->username }, { "password", &o->password }, { "certificate", &o->certificate },
                { "board", &o->board },       { "server", &o->server },
        };
        int r = 0;

        for (size_t i = 0; i < ELEMENTS(texts) && r == 0; i++)
                r = copy_text(root, texts[i].name, texts[i].to);
        return r;
}

static int make_paths(Own *o, const char *state_dir) {
        if (asprintf(&o->cert_file, "%s/" CERT_FILE, state_dir) < 0)
                o->cert_file = NULL;
        if (asprintf(&o->key_file, "%s/" KEY_FILE, state_dir) < 0)
                o->key_file = NULL;
        return o->cert_file && o->key_file ? 0 : -ENOMEM;
}

static bool is_usable(const Own *o) {
        switch (o->type) {
        case PROVISION_TOKEN:
                return o->token && o->token[0];
        case PROVISION_BASIC:
                return (o->client_id && o->client_id[0]) || (o->username && o->username[0]);
        case PROVISION_X509:
                return o->certificate && access(o->key_file, F_OK) == 0;
        case _PROVISION_TYPE_MAX:
                break;
        }
        return false;
}

static int read_tree(const Setting *root, const char *state_dir, Own *o) {
        const Setting *granted = setting_child(root, "granted"), *type = setting_child(root, "type");
        int r = read_texts(root, o);

        if (r == 0)
                r = make_paths(o, state_dir);
        if (r < 0)
                return r;
        if (!type || type->type != SETTING_STRING || provision_type_parse(type->s, &o->type) < 0)
                return -EBADMSG;
        o->granted = granted && granted->type == SETTING_BOOL && granted->b;
        return is_usable(o) && o->name ? 0 : -EBADMSG;
}

static int load(Own *ret, const char *state_dir, char **ret_text) {
        _cleanup_(setting_freep) Setting *root = NULL;
        _cleanup_(own_done) Own o = { 0 };
        _cleanup_(freep) char *path = NULL;
        int r;

        if (asprintf(&path, "%s/" OWN_FILE, state_dir) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        r = config_load_tree(path, &root, ret_text);
        if (r < 0)
                return r;
        r = read_tree(root, state_dir, &o);
        if (r == -EBADMSG)
                tell(ret_text, "%s is not what was written there; when it is removed the device asks the server for itself anew",
                     path);
        if (r < 0)
                return r;
        *ret = o;
        o = (Own){ 0 };
        return 0;
}

int own_load(Own *ret, const char *state_dir, const char *server, char **ret_text) {
        _cleanup_(own_done) Own o = { 0 };
        int r = load(&o, state_dir, ret_text);

        if (r < 0)
                return r;
        if (!o.server || !streq(o.server, server))
                return -ENOENT;
        *ret = o;
        o = (Own){ 0 };
        return 0;
}

/* ---- making */

static char *random_text(void) {
        static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        char *text = malloc(SECRET_SIZE + 1);
        size_t n = 0;

        while (text && n < SECRET_SIZE) {
                unsigned char byte;

                if (getrandom(&byte, 1, 0) != 1) {
                        free(text);
                        return NULL;
                }
                if (byte < 248) /* four times 62: no letter comes more often */
                        text[n++] = letters[byte % 62];
        }
        if (text)
                text[n] = '\0';
        return text;
}

static int write_file(const char *path, const char *text) {
        int r = file_replace(path, text, strlen(text), 0600);

        return MIN(r, 0);
}

static int make_certificate(Own *o) {
        _cleanup_(freep) char *key = NULL;
        int r = certificate_make(o->name, &o->certificate, &key);

        if (r == 0)
                r = write_file(o->key_file, key);
        if (key)
                explicit_bzero(key, strlen(key));
        return r < 0 ? r : write_file(o->cert_file, o->certificate);
}

static int make_secrets(Own *o, const Board *board) {
        switch (o->type) {
        case PROVISION_TOKEN:
                o->token = random_text();
                return o->token ? 0 : -ENOMEM;
        case PROVISION_BASIC:
                if (asprintf(&o->client_id, "tbagent-%s", board->digits) < 0)
                        o->client_id = NULL;
                o->username = random_text();
                o->password = random_text();
                return o->client_id && o->username && o->password ? 0 : -ENOMEM;
        case PROVISION_X509:
                return make_certificate(o);
        case _PROVISION_TYPE_MAX:
                break;
        }
        return -EINVAL;
}

int own_make(Own *ret, const char *state_dir, ProvisionType type, const char *name, const Board *board, const char *server) {
        _cleanup_(own_done) Own o = { .type = type, .name = strdup(name), .board = strdup(board_serial(board)),
                                      .server = strdup(server) };
        _cleanup_(freep) char *path = NULL, *text = NULL;
        size_t size;
        int r;

        if (!o.name || !o.board || !o.server || asprintf(&path, "%s/" OWN_FILE, state_dir) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        r = make_paths(&o, state_dir);
        if (r == 0)
                r = make_secrets(&o, board);
        if (r < 0)
                return r;
        text = own_text(&o, &size);
        if (!text)
                return -ENOMEM;
        r = write_file(path, text);
        explicit_bzero(text, size);
        if (r < 0)
                return r;
        *ret = o;
        o = (Own){ 0 };
        return 0;
}

static int replace(char **to, const char *text) {
        char *copy = text ? strdup(text) : NULL;

        if (text && !copy)
                return -ENOMEM;
        free(*to);
        *to = copy;
        return 0;
}

int own_take(Own *o, const ProvisionCredentials *given) {
        int r;

        o->granted = true;
        if (given->type == PROVISION_X509) /* the server knows the certificate that we have the key of */
                return o->type == PROVISION_X509 ? 0 : -EBADMSG;
        o->type = given->type;
        r = replace(&o->token, given->token);
        if (r == 0)
                r = replace(&o->client_id, given->client_id);
        if (r == 0)
                r = replace(&o->username, given->username);
        return r < 0 ? r : replace(&o->password, given->password);
}

/* ---- another board */

static bool stays(const char *name) {
        return name[0] == '.' || strncmp(name, "of-", 3) == 0 || streq(name, "last-good.conf");
}

static int move_one(const char *from, const char *to, const char *name) {
        _cleanup_(freep) char *a = NULL, *b = NULL;

        if (asprintf(&a, "%s/%s", from, name) < 0)
                a = NULL;
        if (asprintf(&b, "%s/%s", to, name) < 0)
                b = NULL;
        if (!a || !b)
                return -ENOMEM;
        return rename(a, b) < 0 ? -errno : 0;
}

/* The credentials last: where they are says whether all is done. */
static int move_all(const char *from, const char *to) {
        DIR *d = opendir(from);
        const struct dirent *e;
        int r = d ? 0 : -errno;

        while (r == 0 && (e = readdir(d)))
                if (!stays(e->d_name) && !streq(e->d_name, OWN_FILE))
                        r = move_one(from, to, e->d_name);
        if (d)
                closedir(d);
        return r < 0 ? r : move_one(from, to, OWN_FILE);
}

/* A serial number as part of a path. */
static char *aside_path(const char *state_dir, const char *board) {
        char *path = NULL;

        if (asprintf(&path, "%s/of-%.64s", state_dir, board) < 0)
                return NULL;
        for (char *p = path + strlen(state_dir) + 1; *p; p++)
                if (*p == '/')
                        *p = '_';
        return path;
}

static int set_aside(const char *state_dir, const Board *board, char **ret_text) {
        _cleanup_(own_done) Own o = { 0 };
        _cleanup_(freep) char *why = NULL, *aside = NULL;
        int r = load(&o, state_dir, &why);

        if (r < 0 || !o.board || streq(o.board, board_serial(board)))
                return 0;
        aside = aside_path(state_dir, o.board);
        r = aside ? file_mkdir(aside, 0700) : -ENOMEM;
        if (r == 0)
                r = move_all(state_dir, aside);
        if (r < 0)
                tell(ret_text, "the state of board %s cannot be set aside into %s: %s; its credentials stay in use", o.board,
                     aside ? aside : "?", strerror(-r));
        else
                tell(ret_text, "this is board %s, and the card comes from board %s: its credentials and data are set aside in "
                               "%s, and the device asks the server for itself anew (provision.identity = \"card\" keeps them)",
                     board_serial(board), o.board, aside);
        return r < 0 ? r : 1;
}

static bool has_credentials(const char *dir) {
        _cleanup_(freep) char *path = NULL;

        if (asprintf(&path, "%s/" OWN_FILE, dir) < 0)
                path = NULL;
        return path && access(path, F_OK) == 0;
}

/* The card is back in a board where it was before. */
static int bring_back(const char *state_dir, const Board *board, char **ret_text) {
        _cleanup_(freep) char *aside = aside_path(state_dir, board_serial(board));
        int r;

        if (!aside)
                return -ENOMEM;
        if (has_credentials(state_dir) || !has_credentials(aside))
                return 0;
        r = move_all(aside, state_dir);
        free(*ret_text);
        if (r < 0)
                tell(ret_text, "the state of this board, %s, cannot be brought back from %s: %s", board_serial(board), aside,
                     strerror(-r));
        else
                tell(ret_text, "this is board %s again, which this card knows: its credentials and data are back from %s",
                     board_serial(board), aside);
        return r < 0 ? r : 1;
}

int own_mind_board(const char *state_dir, const Board *board, char **ret_text) {
        int r = set_aside(state_dir, board, ret_text), back = r < 0 ? 0 : bring_back(state_dir, board, ret_text);

        return back != 0 ? back : r;
}
