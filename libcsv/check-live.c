/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check-live.c - a check of a volume that others change meanwhile. */

/*
 * A check reads one thing after the other. An image that is made, grown or deleted in between looks
 * like damage then: a file without an image, a lease without a VM. Where a host is there that may
 * change something, what is found is looked for once more, and only what is found twice running
 * counts.
 */

#include "catalog.h"

#include "error.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AGAIN_US 250000 /* most changes are through by then */
#define AGAIN    5      /* times */

struct findings {
    struct csv_finding *all;
    size_t count, room;
    bool has_failed; /* no memory for one */
};

static void
keep(const struct csv_finding *finding, void *data)
{
    struct findings *findings = data;

    if (findings->count == findings->room) {
        size_t room = findings->room ? findings->room * 2 : 16;
        struct csv_finding *all = realloc(findings->all, room * sizeof(*all));
        if (!all) {
            findings->has_failed = true;
            return;
        }
        findings->all = all;
        findings->room = room;
    }
    findings->all[findings->count++] = *finding;
}

static bool
has(const struct findings *findings, const struct csv_finding *one)
{
    for (size_t i = 0; i < findings->count; i++)
        if (strcmp(findings->all[i].code, one->code) == 0 &&
            strcmp(findings->all[i].text, one->text) == 0)
            return true;
    return false;
}

static int
look(struct csv_volume *volume, struct findings *findings, struct csv_error *error)
{
    int result;

    findings->count = 0;
    result = csv_check_once(volume, keep, findings, error);
    if (!result && findings->has_failed)
        result = csv_fail(error, CSV_E_SYS, ENOMEM, "cannot check the volume");
    return result;
}

/* What cannot be read is no proof that nobody is there. */
static bool
may_change(struct csv_volume *volume)
{
    uint32_t alive = 0;

    return volume->dev->path && (csv_lockspace_alive(volume, &alive, NULL) || alive);
}

/* What was found by the last look only. */
struct passing {
    size_t count;
    bool has_error; /* one of them is one */
};

static size_t
count_new(const struct findings *now, const struct findings *before)
{
    size_t count = 0;

    for (size_t i = 0; i < now->count; i++)
        count += !has(before, &now->all[i]);
    return count;
}

/* Takes out of now what was not there before. */
static struct passing
drop_new(struct findings *now, const struct findings *before)
{
    struct passing passing = {0};
    size_t left = 0;

    for (size_t i = 0; i < now->count; i++) {
        if (has(before, &now->all[i])) {
            now->all[left++] = now->all[i];
            continue;
        }
        passing.count++;
        passing.has_error |= now->all[i].is_error;
    }
    now->count = left;
    return passing;
}

/* Until all that is found was found the time before, too. Each look is compared with all that the
 * one before it has found: what came up in between counts from its second time on. */
static int
look_again(struct csv_volume *volume, struct findings *now, void (*wait)(void *data), void *data,
           struct passing *passing, struct csv_error *error)
{
    struct findings before = {0};
    int result = 0;

    for (int i = 0; !result && count_new(now, &before) && i < AGAIN; i++) {
        struct findings swap = before;
        before = *now;
        *now = swap;
        wait(data);
        result = look(volume, now, error);
    }
    if (!result)
        *passing = drop_new(now, &before);
    free(before.all);
    return result;
}

int
csv_check_live(struct csv_volume *volume,
               void (*report)(const struct csv_finding *finding, void *data), void *data,
               size_t *errors, void (*wait)(void *data), void *wait_data, struct csv_error *error)
{
    struct findings now = {0};
    int result = look(volume, &now, error);
    struct passing passing = {0};
    size_t count = 0;

    if (!result && now.count && may_change(volume))
        result = look_again(volume, &now, wait, wait_data, &passing, error);
    if (!result && passing.count) {
        /* nobody knows then whether the volume is sound */
        struct csv_finding busy = {.code = "volume-changes", .is_error = passing.has_error};
        snprintf(busy.text, sizeof(busy.text),
                 "%zu findings, as a change on its way leaves them, were others at each look; "
                 "check again when the volume is changed less",
                 passing.count);
        keep(&busy, &now);
    }
    for (size_t i = 0; !result && i < now.count; i++) {
        count += now.all[i].is_error;
        if (report)
            report(&now.all[i], data);
    }
    free(now.all);
    if (!result && errors)
        *errors = count;
    return result;
}

static void
wait_a_moment(void *data)
{
    (void)data;
    usleep(AGAIN_US);
}

int
csv_check(struct csv_volume *volume, void (*report)(const struct csv_finding *finding, void *data),
          void *data, size_t *errors, struct csv_error *error)
{
    return csv_check_live(volume, report, data, errors, wait_a_moment, NULL, error);
}
