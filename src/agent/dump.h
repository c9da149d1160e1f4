/* SPDX-License-Identifier: Apache-2.0 */
/* `tbagent --ring FILE` and `tbagent --segments DIR`: what waits, for people and tests. The first line of each has the
 * sums as NAME=NUMBER. A daemon may be at work on them meanwhile. */
#pragma once

/* EXIT_SUCCESS; EXIT_FAILURE: something is damaged or cannot be read, told on stderr; what can be read is printed. */
int dump_ring(const char *path);
/* folder: that of the segments, or the state directory above it. */
int dump_segments(const char *folder);
