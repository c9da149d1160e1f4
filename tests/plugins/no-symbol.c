/* SPDX-License-Identifier: Apache-2.0 */
/* A shared object that is no plugin. */
int tbagent_nothing(void);
int tbagent_nothing(void) {
        return 0;
}
