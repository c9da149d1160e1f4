/* SPDX-License-Identifier: Apache-2.0 */
/* A folder of the test's own, to be filled with copies of what the kernel shows. */
#pragma once

char *tree_new(void);
char *tree_free(char *root); /* removes it */
/* Writes root/path and makes its folders. content NULL: removes it, whatever it is. */
void tree_put(const char *root, const char *path, const char *content);
