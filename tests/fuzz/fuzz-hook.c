/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz-hook.c - what the hook reads by hand: libvirt's XML, and the daemon's answer. */

/*
 * What must hold: nothing crashes, reads on, or reads behind the end; texts end within their room;
 * one that says whose domain it is has seen its lease; a reason is one line; what is no whole
 * object is no answer.
 */

#include "domain-scan.h"
#include "reply.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
expect_text(const char *text)
{
    size_t length = strnlen(text, DOMAIN_SCAN_TEXT);

    assert(length < DOMAIN_SCAN_TEXT);
    assert(length == 0 || (text[0] != ' ' && text[length - 1] != '\n'));
}

static void
try_xml(const char *xml, size_t size)
{
    struct domain_scan domain;

    if (domain_scan(xml, size, &domain))
        return;
    assert(memmem(xml, size, "<domain", 7));
    expect_text(domain.uuid);
    expect_text(domain.lockspace);
    expect_text(domain.lease);
    if (!domain.is_ours)
        assert(!*domain.lockspace && !*domain.lease);
}

static void
try_answer(const char *json, size_t size)
{
    char reason[REPLY_TEXT];

    memset(reason, 'x', sizeof(reason));
    enum reply reply = reply_parse(json, size, reason);
    size_t length = strnlen(reason, REPLY_TEXT);

    assert(length < REPLY_TEXT);
    for (size_t i = 0; i < length; i++)
        assert((unsigned char)reason[i] >= 0x20 && reason[i] != 0x7f);
    if (reply == REPLY_YES)
        assert(memchr(json, '{', size) && memchr(json, '}', size) && length == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *exact = malloc(size + (size == 0)); /* so that a sanitizer sees its end */

    if (!exact)
        return 0;
    memcpy(exact, data, size);
    try_xml(exact, size);
    try_answer(exact, size);
    free(exact);
    return 0;
}
