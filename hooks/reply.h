/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* reply.h - what the daemon answered, a frame of Varlink without its NUL. */
#pragma once

#include <stddef.h>

#define REPLY_TEXT 1024

enum reply {
    REPLY_YES,
    REPLY_NO,      /* an error of io.migrated's, with a reason */
    REPLY_GARBAGE, /* not an answer; or one to say that the question was not understood */
};

/* reason: of a NO, as one line that any terminal can show; cut where it is long. */
enum reply reply_parse(const char *json, size_t length, char reason[REPLY_TEXT])
    __attribute__((warn_unused_result));
