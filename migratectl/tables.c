/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tables.c - one table for each kind of thing. */

#include "tables.h"

#include "output.h"
#include "rpc/api-types.h"

#define HEADERS(...) ((const char *const[]){__VA_ARGS__, NULL})

void
mig_print_nodes(GPtrArray *nodes)
{
    MigTable *table = mig_table_new(HEADERS("~NODE", ">ID", "STATE", ">VMS", ">CPUS", ">MEMORY",
                                            ">FREE", "~MANAGEMENT", "~VOLUMES"));

    for (guint i = 0; i < nodes->len; i++) {
        MigApiNode *node = nodes->pdata[i];
        g_autofree char *name = g_strconcat(node->name, node->local ? "*" : "", NULL);
        g_autofree char *volumes = node->volumes ? g_strjoinv(",", node->volumes) : NULL;

        mig_table_add(table, name, mig_show_int(node->host_id),
                      node->draining ? "draining" : node->state,
                      mig_show_int(node->vms ? g_strv_length(node->vms) : 0),
                      mig_show_int(node->cpus), mig_show_size(node->memory),
                      mig_show_size(node->memory_free), node->management, volumes);
    }
    mig_table_print(table, TRUE);
}

void
mig_print_volumes(GPtrArray *volumes)
{
    MigTable *table = mig_table_new(HEADERS("~VOLUME", "STATE", ">SIZE", ">USED", ">FREE",
                                            ">IMAGES", ">VMS", "~COORDINATOR", "~NODES"));

    for (guint i = 0; i < volumes->len; i++) {
        MigApiVolume *volume = volumes->pdata[i];
        g_autofree char *nodes = volume->nodes ? g_strjoinv(",", volume->nodes) : NULL;

        mig_table_add(table, volume->name, volume->state, mig_show_size(volume->size),
                      mig_show_size(volume->used), mig_show_size(volume->free),
                      mig_show_int(volume->images), mig_show_int(volume->vms), volume->coordinator,
                      nodes);
    }
    mig_table_print(table, TRUE);
}

void
mig_print_images(GPtrArray *images)
{
    MigTable *table =
        mig_table_new(HEADERS("~VOLUME", "~IMAGE", ">SIZE", "~OWNER", "SHARED", "ACTIVE HERE"));

    for (guint i = 0; i < images->len; i++) {
        MigApiImage *image = images->pdata[i];

        mig_table_add(table, image->volume, image->name, mig_show_size(image->size), image->owner,
                      mig_show_yes(image->shared), mig_show_yes(image->active));
    }
    mig_table_print(table, TRUE);
}

void
mig_print_vms(GPtrArray *vms)
{
    MigTable *table = mig_table_new(
        HEADERS("~VM", "STATE", "WANTED", "~NODE", ">MEMORY", ">VCPUS", "~VOLUME", "~JOB"));

    for (guint i = 0; i < vms->len; i++) {
        MigApiVm *vm = vms->pdata[i];

        mig_table_add(table, vm->name, vm->state, vm->wanted, vm->node, mig_show_size(vm->memory),
                      mig_show_int(vm->vcpus), vm->volume, vm->job);
    }
    mig_table_print(table, TRUE);
}

guint
mig_count_running_jobs(GPtrArray *jobs)
{
    guint count = 0;

    for (guint i = 0; i < jobs->len; i++)
        count += !((MigApiJob *)jobs->pdata[i])->ended;
    return count;
}

void
mig_print_jobs(GPtrArray *jobs, gboolean running_only)
{
    MigTable *table = mig_table_new(HEADERS("~JOB", "~VM", "~FROM", "~TO", "STATE", ">DONE",
                                            ">ELAPSED", "OUTCOME", "~WAITS FOR"));

    for (guint i = 0; i < jobs->len; i++) {
        MigApiJob *job = jobs->pdata[i];
        g_autofree char *percent = g_strdup_printf("%d%%", (int)job->percent);
        g_autofree char *waits_for =
            job->waits_for ? g_strdup_printf("%s (%d.)", job->waits_for, (int)job->position) : NULL;

        if (running_only && job->ended)
            continue;
        mig_table_add(table, job->id, job->vm, job->source, job->target, job->state, percent,
                      mig_show_ms(job->elapsed_ms), job->outcome, waits_for);
    }
    mig_table_print(table, TRUE);
}
