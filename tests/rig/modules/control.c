// SPDX-License-Identifier: GPL-2.0-only
#include <linux/debugfs.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "control.h"

#define WRITE_MAX 65536

int control_say(struct control *c, int error, const char *format, ...) {
        va_list arguments;

        va_start(arguments, format);
        vsnprintf(c->answer, sizeof(c->answer) - 1, format, arguments);
        va_end(arguments);
        strlcat(c->answer, "\n", sizeof(c->answer));
        return error;
}

int control_number(struct control *c, const char *word, int base, unsigned long max, unsigned long *ret) {
        unsigned long n;

        if (kstrtoul(word, base, &n) < 0 || n > max)
                return control_say(c, -EINVAL,
                                   base == 16 ? "%s: a hexadecimal number up to %lx is meant" : "%s: a number up to %lu is meant",
                                   word, max);
        *ret = n;
        return 0;
}

int control_bytes(struct control *c, const char *word, u8 *bytes, size_t size) {
        size_t n = strlen(word);

        if (strcmp(word, "-") == 0)
                return 0;
        if (n % 2 != 0 || n / 2 > size || hex2bin(bytes, word, n / 2) < 0)
                return control_say(c, -EINVAL, "%s: up to %zu bytes are meant, in pairs of hexadecimal digits", word, size);
        return n / 2;
}

const char *control_option(int n, char **words, const char *name) {
        size_t length = strlen(name);

        for (int i = 0; i < n; i++)
                if (strncmp(words[i], name, length) == 0 && words[i][length] == '=')
                        return words[i] + length + 1;
        return NULL;
}

static int control_line(struct control *c, char *line) {
        char *words[CONTROL_WORDS + 1], *word;
        int n = 0;

        while ((word = strsep(&line, " \t"))) {
                if (!*word)
                        continue;
                if (n > CONTROL_WORDS)
                        return control_say(c, -E2BIG, "more than %d words", CONTROL_WORDS);
                words[n++] = word;
        }
        if (n == 0 || words[0][0] == '#')
                return 0;
        for (const struct control_verb *v = c->verbs; v->name; v++) {
                if (strcmp(v->name, words[0]) != 0)
                        continue;
                if (n - 1 < v->min || n - 1 > v->max)
                        return control_say(c, -EINVAL, "usage: %s %s", v->name, v->usage);
                return v->run(n - 1, words + 1);
        }
        return control_say(c, -EINVAL, "%s: no such command; README.md of the module lists them", words[0]);
}

static ssize_t control_write(struct file *file, const char __user *from, size_t size, loff_t *at) {
        struct control *c = file_inode(file)->i_private;
        char *text, *rest, *line;
        int r = 0;

        if (size > WRITE_MAX)
                return -E2BIG;
        text = memdup_user_nul(from, size);
        if (IS_ERR(text))
                return PTR_ERR(text);
        mutex_lock(&c->lock);
        control_say(c, 0, "ok");
        rest = text;
        if (c->guards)
                mutex_lock(c->guards);
        while (r == 0 && (line = strsep(&rest, "\n")))
                r = control_line(c, line);
        if (c->guards)
                mutex_unlock(c->guards);
        if (r < 0)
                pr_info("%s: %s", c->name, c->answer);
        mutex_unlock(&c->lock);
        kfree(text);
        return r < 0 ? r : size;
}

static ssize_t control_read(struct file *file, char __user *to, size_t size, loff_t *at) {
        struct control *c = file_inode(file)->i_private;
        ssize_t n;

        mutex_lock(&c->lock);
        n = simple_read_from_buffer(to, size, at, c->answer, strlen(c->answer));
        mutex_unlock(&c->lock);
        return n;
}

static const struct file_operations control_operations = {
        .owner = THIS_MODULE,
        .read = control_read,
        .write = control_write,
        .llseek = default_llseek,
};

int control_init(struct control *c) {
        mutex_init(&c->lock);
        c->folder = debugfs_create_dir(c->name, NULL);
        if (IS_ERR(c->folder))
                return PTR_ERR(c->folder);
        debugfs_create_file("control", 0600, c->folder, c, &control_operations);
        return 0;
}

void control_exit(struct control *c) {
        debugfs_remove_recursive(c->folder);
}
