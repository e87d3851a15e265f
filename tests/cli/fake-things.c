/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fake-things.c - what fake-things.h lists. */
#include "cli/fake-things.h"

MigApiNode *
fake_new_node(const char *name, int id)
{
    MigApiNode *node = mig_ApiNode_new();

    node->name = g_strdup(name);
    node->host_id = id;
    node->state = g_strdup("up");
    node->management = g_strdup_printf("10.77.0.%d", id);
    node->migration = g_strdup_printf("10.77.1.%d/24", id);
    node->port = 7420;
    node->cpus = 2;
    node->memory = 8ll * 1024 * MIB;
    node->memory_free = 6ll * 1024 * MIB;
    node->volumes = g_strsplit("vol1", ",", -1);
    node->local = id == 1;
    return node;
}

MigApiVolume *
fake_new_volume(const char *name)
{
    MigApiVolume *volume = mig_ApiVolume_new();

    volume->name = g_strdup(name);
    volume->uuid = g_strdup("0c4b3f0e-0000-4000-8000-000000000001");
    volume->state = g_strdup("attached");
    volume->device = g_strdup("/dev/sdx");
    volume->coordinator = g_strdup("nodeA");
    volume->size = 10240ll * MIB;
    volume->used = 512ll * MIB;
    volume->free = 9728ll * MIB;
    volume->largest_free = 4864ll * MIB;
    volume->free_runs = 3;
    volume->spare = 1024ll * MIB;
    volume->map = g_strdup("##+.-");
    volume->one_host = TRUE;
    volume->nodes = g_strsplit("nodeA,nodeB", ",", -1);
    return volume;
}

MigApiVm *
fake_new_vm(const char *name, const char *state, const char *node)
{
    MigApiVm *vm = mig_ApiVm_new();

    vm->name = g_strdup(name);
    vm->uuid = g_strdup("0c4b3f0e-0000-4000-8000-000000000002");
    vm->volume = g_strdup("vol1");
    vm->state = g_strdup(state);
    vm->wanted = g_strdup("running");
    vm->node = g_strdup(node);
    vm->memory = 512ll * MIB;
    vm->vcpus = 1;
    vm->definition = g_strdup("<domain>\n  <name>web</name>\n</domain>\n");
    return vm;
}

MigApiImage *
fake_new_image(const char *volume, const char *name, gint64 size)
{
    MigApiImage *image = mig_ApiImage_new();

    image->volume = g_strdup(volume);
    image->name = g_strdup(name);
    image->size = size;
    return image;
}

MigJobReply *
fake_new_job(const MigMoveVmRequest *request, int step, const char *state)
{
    MigJobReply *reply = mig_JobReply_new();
    MigApiJob *job = mig_ApiJob_new();

    reply->job = job;
    job->id = g_strdup("17");
    job->kind = g_strdup("move");
    job->vm = g_strdup(request ? request->vm : "web");
    job->source = g_strdup("nodeA");
    job->target = g_strdup(request ? request->node : "nodeB");
    job->state = g_strdup(state);
    job->started = 1700000000000;
    job->elapsed_ms = step * STEP_MS;
    job->percent = step * 100 / STEPS;
    job->total = 512ll * MIB;
    job->transferred = job->total * step / STEPS;
    job->remaining = job->total - job->transferred;
    job->rate = 95ll * MIB;
    job->dirty_rate = 20ll * MIB;
    job->iteration = 1 + step / 2;
    job->policy = g_strdup(request && request->policy ? request->policy : "fast");
    return reply;
}

static void
fake_moment(MigApiJob *job, const char *what, const char *node, gint64 from_us, gint64 to_us)
{
    MigApiMoment *moment = mig_ApiMoment_new();

    moment->what = g_strdup(what);
    moment->node = g_strdup(node);
    moment->from_us = from_us;
    moment->to_us = to_us;
    g_ptr_array_add(job->switchover, moment);
}

void
fake_end_job(MigJobReply *reply, const char *outcome)
{
    MigApiJob *job = reply->job;

    job->ended = TRUE;
    job->outcome = g_strdup(outcome);
    job->downtime_ms = 43;
    job->forecast = fake_new_forecast();
    job->blackout_ms = 55;
    job->blackout_within_ms = 2;
    job->switchover = mig_message_array_new(&mig_type_ApiMoment);
    fake_moment(job, "stopped", job->source, 0, 0);
    fake_moment(job, "lease-released", job->source, 0, 8200);
    fake_moment(job, "running", job->target, 53400, 56600);
}

static MigApiRange *
fake_range(gint64 likely)
{
    MigApiRange *range = mig_ApiRange_new();

    range->likely = likely;
    range->least = likely / 2;
    range->most = likely * 2;
    return range;
}

MigApiForecast *
fake_new_forecast(void)
{
    MigApiForecast *forecast = mig_ApiForecast_new();

    forecast->duration_ms = fake_range(4200);
    forecast->downtime_ms = fake_range(60);
    forecast->bytes = fake_range(300ll * MIB);
    forecast->learnt_from = 7;
    forecast->used = 310ll * MIB;
    forecast->dirty_rate = 20ll * MIB;
    forecast->dirtied = 50ll * MIB;
    forecast->dirtied_ms = 4000;
    return forecast;
}

/* One check for each verdict up to worst. */
MigApiVerdict *
fake_new_verdict(const char *vm, const char *target, MigApiVerdict *verdict, const char *worst)
{
    static const char *const verdicts[] = {"pass", "warn", "fail"};
    static const char *const names[] = {"vm-idle", "pair-free", "memory-fits"};

    verdict->vm = g_strdup(vm);
    verdict->source = g_strdup("nodeA");
    verdict->target = g_strdup(target);
    verdict->verdict = g_strdup(worst);
    verdict->checks = mig_message_array_new(&mig_type_ApiCheck);
    if (g_strcmp0(worst, "fail") != 0)
        verdict->forecast = fake_new_forecast();
    for (guint i = 0; i < G_N_ELEMENTS(verdicts); i++) {
        MigApiCheck *check = mig_ApiCheck_new();

        check->name = g_strdup(names[i]);
        check->verdict = g_strdup(verdicts[i]);
        check->text = g_strdup("512 MiB needed\x1b[31m, 100 MiB free");
        check->advice = i ? g_strdup("do something") : NULL;
        g_ptr_array_add(verdict->checks, check);
        if (g_str_equal(verdicts[i], worst))
            break;
    }
    return verdict;
}
