/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "agent-world.h"
#include "base/log.h"
#include "tree.h"

static void on_appended(void *userdata _unused_, bool immediate _unused_) {
}

static void on_changed(void *userdata _unused_) {
}

static void on_instance_changed(void *userdata _unused_, Instance *i _unused_) {
}

static bool time_trusted(void *userdata _unused_) {
        return true;
}

void agent_world_new(AgentWorld *w, const char *config) {
        InstancesParams p = { .instance = { .host_path = "/nowhere", .plugin_dirs = "/nowhere" }, .appended = on_appended,
                              .changed = on_changed,
                              .time_trusted = time_trusted, .instance_changed = on_instance_changed, .userdata = w };
        ConfigProblem *problems;
        char path[300];
        size_t n;

        *w = (AgentWorld){ .root = tree_new() };
        log_set_level(LOG_EMERG); /* that their plugins are not there */
        assert_int_equal(loop_new_simulated(&w->loop, 0), 0);
        assert_int_equal(spool_new(&w->spool, &(SpoolParams){ .loop = w->loop, .ring_size = 64 * KIB }), 0);
        tree_put(w->root, "tbagent.conf", config);
        snprintf(path, sizeof(path), "%s/tbagent.conf", w->root);
        assert_int_equal(config_load(&w->config, path, &problems, &n), 0);
        config_problems_free(problems, n);
        p.instance.loop = w->loop;
        p.instance.spool = w->spool;
        assert_int_equal(keep_new(&w->keep), 0);
        assert_int_equal(exits_new(&w->exits, &(ExitsParams){ .loop = w->loop, .keep = w->keep, .runtime_dir = w->root }), 0);
        p.instance.exits = w->exits;
        assert_int_equal(instances_new(&w->instances, &p), 0);
        instances_set_config(w->instances, w->config);
}

void agent_world_done(AgentWorld *w) {
        instances_free(w->instances);
        exits_free(w->exits);
        keep_free(w->keep);
        config_free(w->config);
        spool_free(w->spool);
        loop_free(w->loop);
        tree_free(w->root);
        log_set_level(LOG_INFO);
}
