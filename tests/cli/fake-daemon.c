/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fake-daemon.c - answers like migrated would, with canned data: only for the tests of the CLI. */

/*
 * fake-daemon SOCKET. Whatever is named like an error of the table (a VM "VmBusy", a volume
 * "VolumeFull" ...) answers with that error, so that all exit codes can be walked. Moves go to:
 *   nodeB  well, in five steps;  nodeC  fails in the end, with a failed check;
 *   nodeS  slowly, until it is cancelled;  nodeD  well, but the first time the daemon dies
 * half-way.
 *
 * What a hook asks is fine, but for a VM "hang", which is never answered, "slow", which is after
 * two seconds, and "dies". What it asks and tells is written to SOCKET.hook.
 *
 * fake-daemon SOCKET TEXT: one that answers TEXT and a NUL to whatever it is sent, and hangs up.
 */

#include "base/error.h"
#include "base/log.h"
#include "cli/fake-things.h"
#include "rpc/api-methods.h"

#include <gio/gio.h>
#include <gio/gunixsocketaddress.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int cancelled; /* atomic */
static const char *state_path, *hook_path;

/* Answers with the error of this name, if it is one. */
static gboolean
fails(MigRpcCall *call, const char *name)
{
    MigErrorCode code = mig_error_from_name(name);

    if (code == MIG_ERROR_FAILED && g_strcmp0(name, "Failed") != 0)
        return FALSE;
    mig_rpc_call_fail(
        call, g_error_new(MIG_ERROR, (int)code, "%s: that is how it is; do otherwise", name));
    return TRUE;
}

/* ---- methods ---- */

static void
get_status(MigRpcCall *call, gconstpointer data, gpointer user_data)
{
    g_autoptr(MigStatusReply) status = mig_StatusReply_new();

    status->node = g_strdup("nodeA");
    status->version = g_strdup("0.1.0");
    status->nodes = mig_message_array_new(&mig_type_ApiNode);
    g_ptr_array_add(status->nodes, fake_new_node("nodeA", 1));
    g_ptr_array_add(status->nodes, fake_new_node("nodeB", 2));
    status->volumes = mig_message_array_new(&mig_type_ApiVolume);
    g_ptr_array_add(status->volumes, fake_new_volume("vol1"));
    status->vms = mig_message_array_new(&mig_type_ApiVm);
    g_ptr_array_add(status->vms, fake_new_vm("web", "running", "nodeA"));
    /* somebody else's cluster software has been here: escape sequences, C1, right-to-left */
    g_ptr_array_add(status->vms, fake_new_vm("evil\x1b[31m\xc2\x9b"
                                             "2J\xe2\x80\xae\n\x7f",
                                             "stopped", NULL));
    status->jobs = mig_message_array_new(&mig_type_ApiJob);
    {
        MigJobReply *reply = fake_new_job(NULL, 2, "perform");

        g_ptr_array_add(status->jobs, g_steal_pointer(&reply->job));
        mig_JobReply_free(reply);
    }
    status->warnings = g_strsplit("node nodeC was not seen for 5 minutes", "\n", -1);
    mig_rpc_call_reply(call, status);
}

static void
get_vm(MigRpcCall *call, gconstpointer data, gpointer user_data)
{
    const MigNameRequest *request = data;
    g_autoptr(MigVmReply) reply = mig_VmReply_new();

    if (fails(call, request->name))
        return;
    reply->vm = fake_new_vm(request->name, "running", "nodeA");
    mig_rpc_call_reply(call, reply);
}

/* restart, start_after and move_policy as they were given, so that a test sees them travel there
 * and back */
static void
set_vm(MigRpcCall *call, gconstpointer data, gpointer user_data)
{
    const MigSetVmRequest *request = data;
    g_autoptr(MigVmReply) reply = mig_VmReply_new();
    MigApiVm *vm = fake_new_vm(request->name, "running", "nodeA");

    reply->vm = vm;
    if (fails(call, request->name))
        return;
    vm->restart = g_strdup("always");
    vm->on_isolation = g_strdup("keep");
    for (guint i = 0; request->settings[i]; i++) {
        if (g_str_has_prefix(request->settings[i], "start_after="))
            vm->start_after = g_strsplit(strchr(request->settings[i], '=') + 1, ",", -1);
        else if (g_str_has_prefix(request->settings[i], "move_policy="))
            vm->move_policy = g_strdup(strchr(request->settings[i], '=') + 1);
    }
    mig_rpc_call_reply(call, reply);
}

static void
get_timeouts(MigRpcCall *call, gconstpointer data, gpointer user_data)
{
    g_autoptr(MigTimeoutsReply) reply = mig_TimeoutsReply_new();
    static const char *const volumes[] = {NULL, "vol1"};

    reply->times = mig_message_array_new(&mig_type_ApiTime);
    for (guint i = 0; i < G_N_ELEMENTS(volumes); i++) {
        MigApiTime *time = mig_ApiTime_new();

        time->name = g_strdup(i ? "host-dead" : "suspect-after");
        time->volume = g_strdup(volumes[i]);
        time->ms = i ? 68000 : 3000;
        time->because = g_strdup("of a reason");
        g_ptr_array_add(reply->times, time);
    }
    mig_rpc_call_reply(call, reply);
}

static void
plan_node_down(MigRpcCall *call, gconstpointer data, gpointer user_data)
{
    const MigNameRequest *request = data;
    g_autoptr(MigPlanReply) reply = mig_PlanReply_new();
    MigApiPlan *plan = mig_ApiPlan_new();

    reply->plan = mig_message_array_new(&mig_type_ApiPlan);
    plan->vm = g_strdup("web");
    plan->priority = 500;
    plan->memory = 512 * MIB;
    plan->why = g_strdup("no node has memory and CPUs for it");
    g_ptr_array_add(reply->plan, plan);
    if (!fails(call, request->name))
        mig_rpc_call_reply(call, reply);
}

static void
define_vm(MigRpcCall *call, gconstpointer data, gpointer user_data)
{
    const MigDefineVmRequest *request = data;
    g_autoptr(MigVmReply) reply = mig_VmReply_new();

    if (fails(call, request->volume))
        return;
    reply->vm = fake_new_vm("defined", "stopped", NULL);
    mig_rpc_call_reply(call, reply);
}

static void
start_vm(MigRpcCall *call, gconstpointer data, gpointer user_data)
{
    const MigStartVmRequest *request = data;
    g_autoptr(MigVmReply) reply = mig_VmReply_new();

    if (fails(call, request->name))
        return;
    reply->vm = fake_new_vm(request->name, "running", request->node ? request->node : "nodeA");
    mig_rpc_call_reply(call, reply);
}

static void
adopt_vm(MigRpcCall *call, gconstpointer data, gpointer user_data)
{
    const MigAdoptVmRequest *request = data;
    const char *old[] = {"vda: /srv/web.qcow2", NULL};
    g_autoptr(MigAdoptVmReply) reply = mig_AdoptVmReply_new();
    MigApiVm *vm;

    if (fails(call, request->name))
        return;
    reply->total = 2 * MIB;
    mig_rpc_call_progress(call, reply);
    reply->done = reply->total;
    reply->vm = vm = fake_new_vm(request->name, "stopped", NULL);
    g_free(vm->volume);
    vm->volume = g_strdup(request->volume ? request->volume : "vol1");
    reply->old_disks = g_strdupv((char **)old);
    mig_rpc_call_reply(call, reply);
}

static void
answer_volume(MigRpcCall *call, const char *name)
{
    g_autoptr(MigVolumeReply) reply = mig_VolumeReply_new();

    if (fails(call, name))
        return;
    reply->volume = fake_new_volume(name);
    mig_rpc_call_reply(call, reply);
}

static void
get_volume(MigRpcCall *call, gconstpointer data, gpointer user_data)
{
    answer_volume(call, ((const MigNameRequest *)data)->name);
}

static void
backup_volume(MigRpcCall *call, gconstpointer data, gpointer user_data)
{
    const MigBackupVolumeRequest *request = data;

    if (!fails(call, request->volume))
        mig_rpc_call_reply(call, NULL);
}

static void
format_volume(MigRpcCall *call, gconstpointer data, gpointer user_data)
{
    answer_volume(call, ((const MigFormatVolumeRequest *)data)->name);
}

static void
set_coordinator(MigRpcCall *call, gconstpointer data, gpointer user_data)
{
    answer_volume(call, ((const MigCoordinatorRequest *)data)->name);
}

static void
create_image(MigRpcCall *call, gconstpointer data, gpointer user_data)
{
    const MigCreateImageRequest *request = data;
    g_autoptr(MigImageReply) reply = mig_ImageReply_new();

    if (fails(call, request->volume) || fails(call, request->name))
        return;
    reply->image = fake_new_image(request->volume, request->name, request->size);
    mig_rpc_call_reply(call, reply);
}

/* The path comes back as the owner, so that the test can see what the CLI made of it. */
static void
import_image(MigRpcCall *call, gconstpointer data, gpointer user_data)
{
    const MigImportImageRequest *request = data;
    g_autoptr(MigImageReply) reply = mig_ImageReply_new();

    reply->total = 2 * MIB;
    mig_rpc_call_progress(call, reply);
    reply->done = reply->total;
    reply->image = fake_new_image(request->volume, request->name, 2 * MIB);
    ((MigApiImage *)reply->image)->owner = g_strdup(request->path);
    mig_rpc_call_reply(call, reply);
}

static void
rename_image(MigRpcCall *call, gconstpointer data, gpointer user_data)
{
    const MigRenameImageRequest *request = data;

    if (!fails(call, request->volume) && !fails(call, request->name))
        mig_rpc_call_reply(call, NULL);
}

static void
clone_image(MigRpcCall *call, gconstpointer data, gpointer user_data)
{
    const MigRenameImageRequest *request = data;
    g_autoptr(MigImageReply) reply = mig_ImageReply_new();

    if (fails(call, request->volume) || fails(call, request->name))
        return;
    reply->total = 2 * MIB;
    mig_rpc_call_progress(call, reply);
    reply->image = fake_new_image(request->volume, request->new_name, 2 * MIB);
    mig_rpc_call_reply(call, reply);
}

/* Anything above 1 MiB needs disk1 to go. */
static void
plan_space(MigRpcCall *call, gconstpointer data, gpointer user_data)
{
    const MigPlanSpaceRequest *request = data;
    g_autoptr(MigListImagesReply) reply = mig_ListImagesReply_new();

    if (fails(call, request->volume))
        return;
    reply->images = mig_message_array_new(&mig_type_ApiImage);
    if (request->size > MIB)
        g_ptr_array_add(reply->images, fake_new_image(request->volume, "disk1", 4 * MIB));
    mig_rpc_call_reply(call, reply);
}

static void
list_images(MigRpcCall *call, gconstpointer data, gpointer user_data)
{
    const MigListImagesRequest *request = data;
    g_autoptr(MigListImagesReply) reply = mig_ListImagesReply_new();

    reply->images = mig_message_array_new(&mig_type_ApiImage);
    g_ptr_array_add(reply->images,
                    fake_new_image(request->volume ? request->volume : "vol1", "disk1", 4 * MIB));
    mig_rpc_call_reply(call, reply);
}

typedef struct {
    MigRpcCall *call;
    MigMoveVmRequest *request;
} Move;

static gpointer
move_thread(gpointer data)
{
    Move *move = data;
    const char *target = move->request->node;
    static const char *const states[] = {"checking", "prepare", "perform", "perform", "finish"};
    gboolean slow = g_str_equal(target, "nodeS");

    for (int step = 0; step < STEPS || (slow && !g_atomic_int_get(&cancelled)); step++) {
        g_autoptr(MigJobReply) reply =
            fake_new_job(move->request, MIN(step, STEPS - 1), states[MIN(step, STEPS - 1)]);

        mig_rpc_call_progress(move->call, reply);
        g_usleep(STEP_MS * 1000);
        if (step == 2 && g_str_equal(target, "nodeD") && access(state_path, F_OK) < 0) {
            g_file_set_contents(state_path, "", 0, NULL);
            _exit(9);
        }
    }
    {
        g_autoptr(MigJobReply) reply =
            fake_new_job(move->request, slow ? 3 : STEPS, slow ? "cancelled" : "done");

        if (g_str_equal(target, "nodeC")) {
            MigApiJob *job = reply->job;
            MigApiCheck *check = mig_ApiCheck_new();

            check->name = g_strdup("memory");
            check->verdict = g_strdup("fail");
            check->text = g_strdup("512 MiB needed, 100 MiB free");
            check->advice = g_strdup("stop or move another VM there");
            job->checks = mig_message_array_new(&mig_type_ApiCheck);
            g_ptr_array_add(job->checks, check);
            job->error = g_strdup("CheckRefused");
            job->message = g_strdup("nodeC has too little memory");
        }
        fake_end_job(reply, slow ? "cancelled" : g_str_equal(target, "nodeC") ? "failed" : "done");
        mig_rpc_call_reply(move->call, reply);
    }
    mig_MoveVmRequest_free(move->request);
    g_free(move);
    return NULL;
}

static void
move_vm(MigRpcCall *call, gconstpointer data, gpointer user_data)
{
    const MigMoveVmRequest *request = data;

    if (fails(call, request->vm))
        return;
    if (!mig_rpc_call_wants_more(call)) {
        g_autoptr(MigJobReply) reply = fake_new_job(request, 0, "checking");

        mig_rpc_call_reply(call, reply);
        return;
    }
    {
        Move *move = g_new0(Move, 1);

        g_atomic_int_set(&cancelled, 0);
        move->call = call;
        move->request = mig_message_copy(&mig_type_MoveVmRequest, request);
        g_thread_unref(g_thread_new("move", move_thread, move));
    }
}

/* To nodeB all is well, to nodeC nothing; without a node both, without a VM two of them. */
static void
check_vm(MigRpcCall *call, gconstpointer data, gpointer user_data)
{
    const MigCheckVmRequest *request = data;
    static const char *const vms[] = {"db", "web"}, *const nodes[] = {"nodeB", "nodeC"};
    g_autoptr(MigCheckVmReply) reply = mig_CheckVmReply_new();

    if (request->vm && fails(call, request->vm))
        return;
    reply->verdicts = mig_message_array_new(&mig_type_ApiVerdict);
    for (guint i = 0; i < 4; i++) {
        const char *vm = vms[i / 2], *node = nodes[i % 2];

        if ((!request->vm || g_str_equal(request->vm, vm)) &&
            (!request->node || g_str_equal(request->node, node)))
            g_ptr_array_add(reply->verdicts, fake_new_verdict(vm, node, mig_ApiVerdict_new(),
                                                              i % 2 ? "fail"
                                                              : i   ? "warn"
                                                                    : "pass"));
    }
    mig_rpc_call_reply(call, reply);
}

static void
get_cpu_baseline(MigRpcCall *call, gconstpointer data, gpointer user_data)
{
    g_autoptr(MigCpuBaselineReply) reply = mig_CpuBaselineReply_new();

    reply->cpu = g_strdup("<cpu mode='custom'>\n  <model>EPYC\x1b[31m</model>\n</cpu>\n");
    reply->nodes = g_strsplit("nodeA,nodeB", ",", -1);
    reply->missing = g_strsplit("nodeC", ",", -1);
    mig_rpc_call_reply(call, reply);
}

static void
get_job_stats(MigRpcCall *call, gconstpointer data, gpointer user_data)
{
    MigApiMisses duration = {.count = 9,
                             .in_range = 8,
                             .median_percent = 7,
                             .p95_percent = 31,
                             .median_ms = 110,
                             .p95_ms = 2400};
    MigApiMisses downtime = {
        .median_percent = -1, .p95_percent = -1, .median_ms = -1, .p95_ms = -1};
    const MigJobStatsReply reply = {.duration = &duration, .downtime = &downtime};

    mig_rpc_call_reply(call, &reply);
}

static void
watch_job(MigRpcCall *call, gconstpointer data, gpointer user_data)
{
    const MigJobRequest *request = data;
    g_autoptr(MigJobReply) reply = NULL;

    if (fails(call, request->id))
        return;
    reply = fake_new_job(NULL, STEPS, "done");
    fake_end_job(reply, "done");
    mig_rpc_call_reply(call, reply);
}

static void
set_job(MigRpcCall *call, gconstpointer data, gpointer user_data)
{
    const MigSetJobRequest *request = data;
    g_autoptr(MigJobReply) reply = NULL;
    MigApiJob *job;

    if (fails(call, request->id))
        return;
    reply = fake_new_job(NULL, 3, "perform");
    job = reply->job;
    job->bandwidth = MAX(request->bandwidth, 0);
    job->max_downtime_ms = request->max_downtime_ms ? request->max_downtime_ms : 300;
    mig_rpc_call_reply(call, reply);
}

static void
resume_job(MigRpcCall *call, gconstpointer data, gpointer user_data)
{
    const MigJobRequest *request = data;
    g_autoptr(MigJobReply) reply = NULL;

    if (fails(call, request->id))
        return;
    reply = fake_new_job(NULL, 3, "postcopy");
    mig_rpc_call_reply(call, reply);
}

static void
cancel_job(MigRpcCall *call, gconstpointer data, gpointer user_data)
{
    const MigJobRequest *request = data;
    g_autoptr(MigJobReply) reply = NULL;

    if (fails(call, request->id))
        return;
    g_atomic_int_set(&cancelled, 1);
    reply = fake_new_job(NULL, 3, g_str_equal(request->id, "18") ? "confirm" : "cancelling");
    mig_rpc_call_reply(call, reply);
}

static void
detach_volume(MigRpcCall *call, gconstpointer data, gpointer user_data)
{
    const MigNameRequest *request = data;

    if (!fails(call, request->name))
        mig_rpc_call_reply(call, NULL);
}

static void
rotate_key(MigRpcCall *call, gconstpointer data, gpointer user_data)
{
    mig_rpc_call_reply(call,
                       &(MigRotateKeyReply){.certificate = (char *)"0123abcd", .connections = 2});
}

/* ---- the hook ---- */

static gboolean
answer_hook(gpointer call)
{
    mig_rpc_call_reply(call, NULL);
    return G_SOURCE_REMOVE;
}

static void
hook_domain(MigRpcCall *call, gconstpointer data, gpointer user_data)
{
    const MigHookDomainRequest *request = data;
    g_autofree char *line = g_strdup_printf(
        "%s %s %s %s %s\n", request->op, request->vm, request->uuid ? request->uuid : "-",
        request->lockspace ? request->lockspace : "-", request->lease ? request->lease : "-");
    FILE *file = fopen(hook_path, "a");

    if (file) {
        fputs(line, file);
        fclose(file);
    }
    if (fails(call, request->vm) || g_str_equal(request->vm, "hang"))
        return;
    if (g_str_equal(request->vm, "dies"))
        _exit(0);
    g_timeout_add(g_str_equal(request->vm, "slow") ? 2000 : 0, answer_hook, call);
}

static int
answer_garbage(const char *path, const char *text)
{
    g_autoptr(GSocketListener) listener = g_socket_listener_new();
    g_autoptr(GSocketAddress) address = g_unix_socket_address_new(path);

    unlink(path);
    if (!g_socket_listener_add_address(listener, address, G_SOCKET_TYPE_STREAM,
                                       G_SOCKET_PROTOCOL_DEFAULT, NULL, NULL, NULL))
        return 1;
    for (;;) {
        g_autoptr(GSocketConnection) one = g_socket_listener_accept(listener, NULL, NULL, NULL);
        char buffer[4096];

        g_input_stream_read(g_io_stream_get_input_stream(G_IO_STREAM(one)), buffer, sizeof(buffer),
                            NULL, NULL);
        g_output_stream_write_all(g_io_stream_get_output_stream(G_IO_STREAM(one)), text,
                                  strlen(text) + 1, NULL, NULL, NULL);
        g_io_stream_close(G_IO_STREAM(one), NULL, NULL);
    }
}

#define METHOD(name, request, reply, flags, handler)                 \
    {                                                                \
        name, &mig_type_##request, &mig_type_##reply, flags, handler \
    }
static const MigRpcMethod methods[] = {
    METHOD("GetStatus", Empty, StatusReply, MIG_RPC_METHOD_READ, get_status),
    METHOD("GetVm", NameRequest, VmReply, MIG_RPC_METHOD_READ, get_vm),
    METHOD("DefineVm", DefineVmRequest, VmReply, 0, define_vm),
    METHOD("AdoptVm", AdoptVmRequest, AdoptVmReply, MIG_RPC_METHOD_MORE, adopt_vm),
    METHOD("StartVm", StartVmRequest, VmReply, 0, start_vm),
    METHOD("GetVolume", NameRequest, VolumeReply, MIG_RPC_METHOD_READ, get_volume),
    METHOD("FormatVolume", FormatVolumeRequest, VolumeReply, 0, format_volume),
    METHOD("DetachVolume", NameRequest, Empty, 0, detach_volume),
    METHOD("SetCoordinator", CoordinatorRequest, VolumeReply, 0, set_coordinator),
    METHOD("RemoveNode", NameRequest, Empty, 0, detach_volume),
    METHOD("SetVm", SetVmRequest, VmReply, 0, set_vm),
    METHOD("GetTimeouts", Empty, TimeoutsReply, MIG_RPC_METHOD_READ, get_timeouts),
    METHOD("PlanNodeDown", NameRequest, PlanReply, MIG_RPC_METHOD_READ, plan_node_down),
    METHOD("PardonNode", NameRequest, Empty, 0, detach_volume),
    METHOD("RotateKey", Empty, RotateKeyReply, 0, rotate_key),
    METHOD("CreateImage", CreateImageRequest, ImageReply, 0, create_image),
    METHOD("ImportImage", ImportImageRequest, ImageReply, MIG_RPC_METHOD_MORE, import_image),
    METHOD("GrowVolume", NameRequest, VolumeReply, 0, get_volume),
    METHOD("BackupVolume", BackupVolumeRequest, Empty, 0, backup_volume),
    METHOD("RenameImage", RenameImageRequest, Empty, 0, rename_image),
    METHOD("CloneImage", RenameImageRequest, ImageReply, MIG_RPC_METHOD_MORE, clone_image),
    METHOD("GrowImage", CreateImageRequest, ImageReply, 0, create_image),
    METHOD("PlanSpace", PlanSpaceRequest, ListImagesReply, MIG_RPC_METHOD_READ, plan_space),
    METHOD("ListImages", ListImagesRequest, ListImagesReply, MIG_RPC_METHOD_READ, list_images),
    METHOD("GetCpuBaseline", Empty, CpuBaselineReply, MIG_RPC_METHOD_READ, get_cpu_baseline),
    METHOD("CheckVm", CheckVmRequest, CheckVmReply, MIG_RPC_METHOD_READ, check_vm),
    METHOD("MoveVm", MoveVmRequest, JobReply, MIG_RPC_METHOD_MORE, move_vm),
    METHOD("GetJobStats", Empty, JobStatsReply, MIG_RPC_METHOD_READ, get_job_stats),
    METHOD("GetJob", JobRequest, JobReply, MIG_RPC_METHOD_READ, watch_job),
    METHOD("WatchJob", JobRequest, JobReply, MIG_RPC_METHOD_MORE, watch_job),
    METHOD("CancelJob", JobRequest, JobReply, 0, cancel_job),
    METHOD("SetJob", SetJobRequest, JobReply, 0, set_job),
    METHOD("ResumeJob", JobRequest, JobReply, 0, resume_job),
    METHOD("HookDomain", HookDomainRequest, Empty, MIG_RPC_METHOD_ROOT, hook_domain),
    {NULL},
};

int
main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigRpcServer) server = mig_rpc_server_new("test", "fake-daemon", MIG_VERSION);
    g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);

    if (argc == 3)
        return answer_garbage(argv[1], argv[2]);
    if (argc != 2)
        return 2;
    mig_log_init(FALSE);
    hook_path = g_strconcat(argv[1], ".hook", NULL);
    state_path = g_strconcat(argv[1], ".died", NULL);
    mig_rpc_server_add_interface(server, MIG_API_INTERFACE, mig_api_varlink, methods, NULL);
    if (!mig_rpc_server_listen_unix(server, argv[1], 0600, &error)) {
        fprintf(stderr, "fake-daemon: %s\n", error->message);
        return 1;
    }
    g_main_loop_run(loop);
    return 0;
}
