/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-vm-define.c - changes of a VM's slot. To define or undefine that is asked for again touches
 * nothing but its own, and nothing is cut short so that a VM is left that cannot start; what a
 * start marks no other one takes back. */
#include "fake-sanlock.h"

#include "attached-private.h"
#include "change.h"
#include "jobs.h"
#include "vms.h"

#include "base/error.h"

#include <csv.h>
#include <glib/gstdio.h>
#include <sanlock.h>
#include <sanlock_direct.h>
#include <sanlock_rv.h>
#include <unistd.h>

#define MIB (1024 * 1024)

/* Ids of the requests: the define, and what came after it. */
#define DEFINE   "11111111-1111-4111-8111-111111111111"
#define UNDEFINE "22222222-2222-4222-8222-222222222222"
#define LATER    "33333333-3333-4333-8333-333333333333"

#define DISK(name)                                              \
    "<disk type='block'><driver cache='none'/>"                 \
    "<source dev='/dev/csv/vol1/" name "'/><target dev='vda'/>" \
    "</disk>"
#define DOMAIN(devices) \
    "<domain><name>web</name><memory>1024</memory><devices>" devices "</devices></domain>"

typedef struct {
    char *path;
    MigDaemon daemon;
    MigAttached attached;
    MigCatalog catalog;
    /* with a sanlock only */
    FakeSanlock *sanlock;
    char *dir;
    int held;      /* what it says to who wants a lease */
    GString *seen; /* what it was asked for, and what a cut there would leave */
} Fixture;

static MigEpoch
by(const char *request)
{
    return (MigEpoch){.version = 1, .host_generation = 1, .host_id = 1, .request = request};
}

static void
set_up(Fixture *fixture, gconstpointer data)
{
    const MigFormat format = {.name = "vol1"};
    g_autoptr(GError) error = NULL;
    int fd;

    fixture->path = g_build_filename(g_get_tmp_dir(), "mig-define-XXXXXX", NULL);
    fd = g_mkstemp(fixture->path);
    g_assert_cmpint(ftruncate(fd, 128 * (off_t)MIB), ==, 0);
    close(fd);
    g_assert_true(mig_csv_format(fixture->path, &format, &error));
    fixture->attached.csv = mig_csv_open(fixture->path, &error);
    g_assert_no_error(error);
    fixture->attached.references = 1;
    fixture->attached.daemon = &fixture->daemon;
    fixture->catalog = (MigCatalog){
        .attached = &fixture->attached, .daemon = &fixture->daemon, .epoch = by(DEFINE)};
}

static void
tear_down(Fixture *fixture, gconstpointer data)
{
    mig_csv_close(fixture->attached.csv);
    g_unlink(fixture->path);
    g_free(fixture->path);
}

static void
make_image(Fixture *fixture, const char *name)
{
    const MigEpoch epoch = by(LATER);
    g_autoptr(GError) error = NULL;
    g_autoptr(MigImage) image =
        mig_csv_image_create(fixture->attached.csv, &epoch, name, MIB, &error);

    g_assert_no_error(error);
}

static void
make_vm(Fixture *fixture, const char *request, const char *uuid, const char *xml)
{
    const MigEpoch epoch = by(request);
    g_autoptr(GError) error = NULL;
    MigVm vm = {.name = (char *)"web",
                .uuid = (char *)uuid,
                .memory_bytes = MIB,
                .vcpus = 1,
                .definition = (char *)xml};

    mig_csv_vm_create(fixture->attached.csv, &epoch, &vm, &error);
    g_assert_no_error(error);
}

static void
assign(Fixture *fixture, const char *image)
{
    const MigEpoch epoch = by(LATER);
    g_autoptr(GError) error = NULL;

    mig_csv_image_assign(fixture->attached.csv, &epoch, image, "web", &error);
    g_assert_no_error(error);
}

static void
assert_vm(Fixture *fixture, const char *uuid)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigVm) vm = mig_csv_vm(fixture->attached.csv, "web", &error);

    g_assert_no_error(error);
    g_assert_cmpstr(vm->uuid, ==, uuid);
}

static void
assert_owner(Fixture *fixture, const char *image, const char *owner)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigImage) found = mig_csv_image(fixture->attached.csv, image, &error);

    g_assert_no_error(error);
    g_assert_cmpstr(found->owner, ==, owner);
}

/* The next coordinator is asked again: something of the request is on the LUN. */
static gboolean
define_again(Fixture *fixture, const char *xml, GError **error)
{
    MigPeerChangeRequest request = {
        .id = (char *)DEFINE, .change = (char *)"vm-define", .again = TRUE, .xml = (char *)xml};
    g_autoptr(MigPeerChangeReply) reply = mig_PeerChangeReply_new();
    g_autofree char *name = NULL;
    gboolean is_begun = FALSE;

    g_assert_true(mig_csv_request_find(fixture->attached.csv, request.id, &is_begun, &name, error));
    g_assert_true(is_begun);
    return mig_vm_run_define(&fixture->catalog, &request, is_begun, reply, error);
}

/* Made, undefined with its disk, and another VM of that name made since, which runs. With its disk
 * gone the new VM was deleted without its lease; with a disk of that name there it was given it. */
static void
test_another_since(Fixture *fixture, gconstpointer with_disk)
{
    static const char first[] = DOMAIN(DISK("d1")), second[] = DOMAIN(DISK("d2"));
    const MigEpoch undefine = by(UNDEFINE);
    g_autoptr(GError) error = NULL;

    make_vm(fixture, DEFINE, DEFINE, first);
    g_assert_true(mig_csv_vm_delete(fixture->attached.csv, &undefine, "web", &error));
    make_image(fixture, "d2");
    if (with_disk)
        make_image(fixture, "d1");
    make_vm(fixture, LATER, LATER, second);
    assign(fixture, "d2");
    g_assert_true(define_again(fixture, first, &error));
    g_assert_no_error(error);
    assert_vm(fixture, LATER);
    assert_owner(fixture, "d2", "web");
    if (with_disk)
        assert_owner(fixture, "d1", "");
}

/* A uuid in the definition is no proof: it was edited, and defined again. */
static void
test_edited_since(Fixture *fixture, gconstpointer data)
{
    static const char first[] =
        "<domain><name>web</name><uuid>" LATER
        "</uuid><memory>1024</memory><devices>" DISK("d1") "</devices></domain>";
    static const char second[] =
        "<domain><name>web</name><uuid>" LATER "</uuid><memory>1024</memory></domain>";
    const MigEpoch undefine = by(UNDEFINE);
    g_autoptr(GError) error = NULL;

    make_image(fixture, "d1");
    make_vm(fixture, DEFINE, LATER, first);
    g_assert_true(mig_csv_vm_delete(fixture->attached.csv, &undefine, "web", &error));
    make_vm(fixture, LATER, LATER, second);
    g_assert_true(define_again(fixture, first, &error));
    assert_vm(fixture, LATER);
    assert_owner(fixture, "d1", "");
}

/* What was cut short is gone on with; a disk that is gone by now costs nobody the VM, which may
 * have been started since. */
static void
test_goes_on(Fixture *fixture, gconstpointer data)
{
    static const char xml[] = DOMAIN(DISK("d1") DISK("d2"));
    const MigEpoch later = by(LATER);
    g_autoptr(GError) error = NULL;

    make_image(fixture, "d1");
    make_image(fixture, "d2");
    make_vm(fixture, DEFINE, DEFINE, xml);
    g_assert_true(define_again(fixture, xml, &error));
    assert_owner(fixture, "d1", "web");
    assert_owner(fixture, "d2", "web");
    g_assert_true(mig_csv_image_assign(fixture->attached.csv, &later, "d2", "", &error));
    g_assert_true(mig_csv_image_delete(fixture->attached.csv, &later, "d2", &error));
    g_assert_false(define_again(fixture, xml, &error));
    g_assert_error(error, MIG_ERROR, MIG_ERROR_IMAGE_UNKNOWN);
    g_assert_nonnull(strstr(error->message, "web is defined"));
    assert_vm(fixture, DEFINE);
    assert_owner(fixture, "d1", "web");
}

/* Taken back once, and made when it was asked for again: the slot of the first time says nothing.
 */
static void
test_second_try(Fixture *fixture, gconstpointer data)
{
    static const char xml[] = DOMAIN(DISK("d1"));
    const MigEpoch define = by(DEFINE);
    g_autoptr(GError) error = NULL;

    make_image(fixture, "d1");
    make_vm(fixture, DEFINE, DEFINE, xml);
    g_assert_true(mig_csv_vm_delete(fixture->attached.csv, &define, "web", &error));
    make_vm(fixture, DEFINE, DEFINE, xml);
    g_assert_true(define_again(fixture, xml, &error));
    g_assert_no_error(error);
    assert_vm(fixture, DEFINE);
    assert_owner(fixture, "d1", "web");
}

/* Undefined since, and nothing has its name. */
static void
test_gone(Fixture *fixture, gconstpointer data)
{
    static const char xml[] = DOMAIN(DISK("d1"));
    const MigEpoch undefine = by(UNDEFINE);
    g_autoptr(GError) error = NULL;

    make_vm(fixture, DEFINE, DEFINE, xml);
    g_assert_true(mig_csv_vm_delete(fixture->attached.csv, &undefine, "web", &error));
    g_assert_true(define_again(fixture, xml, &error));
    g_assert_null(mig_csv_vm(fixture->attached.csv, "web", NULL));
}

static char *uuid_of(Fixture *fixture, const char *image);

static gboolean
change_image(Fixture *fixture, MigPeerChangeRequest *request, const char *uuid, GError **error)
{
    char *uuids[] = {(char *)uuid, NULL};
    g_autoptr(MigPeerChangeReply) reply = mig_PeerChangeReply_new();

    request->id = (char *)LATER;
    request->volume = (char *)"vol1";
    request->again = TRUE;
    request->uuids = uuids;
    return mig_change_find(request->change)(&fixture->catalog, request, FALSE, reply, error);
}

/* A slot has forgotten that a change was done there, and the name is another image's: that one is
 * left alone. */
static void
test_image_meant(Fixture *fixture, gconstpointer data)
{
    const MigEpoch later = by(LATER);
    MigPeerChangeRequest delete = {.change = (char *)"image-delete", .name = (char *)"d1"};
    MigPeerChangeRequest rename = {
        .change = (char *)"image-rename", .name = (char *)"d1", .new_name = (char *)"d2"};
    g_autofree char *first = NULL, *second = NULL, *kept = NULL;
    g_autoptr(GError) error = NULL, gone = NULL, moved = NULL;

    make_image(fixture, "d1");
    first = uuid_of(fixture, "d1");
    g_assert_true(change_image(fixture, &delete, first, &error));
    g_assert_null(mig_csv_image(fixture->attached.csv, "d1", NULL));
    g_assert_true(change_image(fixture, &delete, first, &error)); /* it is gone */
    make_image(fixture, "d1");
    second = uuid_of(fixture, "d1");
    g_assert_true(change_image(fixture, &delete, first, &error));
    g_assert_no_error(error);
    g_assert_false(change_image(fixture, &rename, first, &gone));
    g_assert_error(gone, MIG_ERROR, MIG_ERROR_IMAGE_UNKNOWN);
    kept = uuid_of(fixture, "d1");
    g_assert_cmpstr(kept, ==, second);

    g_assert_true(change_image(fixture, &rename, second, &error));
    make_image(fixture, "d1");
    g_assert_true(change_image(fixture, &rename, second, &error)); /* it has that name */
    g_assert_no_error(error);
    g_assert_true(mig_csv_image_rename(fixture->attached.csv, &later, "d2", "d3", &error));
    g_assert_false(change_image(fixture, &delete, second, &moved));
    g_assert_nonnull(strstr(moved->message, "renamed meanwhile, to d3"));
}

static char *
uuid_of(Fixture *fixture, const char *image)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigImage) found = mig_csv_image(fixture->attached.csv, image, &error);

    g_assert_no_error(error);
    return g_strdup(found->uuid);
}

static gboolean
has_image(Fixture *fixture, const char *name)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigImage) found = mig_csv_image(fixture->attached.csv, name, &error);

    g_assert_true(found || g_error_matches(error, MIG_ERROR, MIG_ERROR_IMAGE_UNKNOWN));
    return found != NULL;
}

/* What a start or a stop leaves on the LUN (wanted.h): changed, then found to be so. */
static void
assert_mark(Fixture *fixture, MigChangeRun run, gboolean flag, guint by, gboolean wants_running,
            guint marked_by)
{
    MigPeerChangeRequest request = {.name = (char *)"web", .flag = flag, .host_id = by};
    g_autoptr(MigPeerChangeReply) reply = mig_PeerChangeReply_new();
    g_autoptr(GError) error = NULL;
    g_autoptr(MigVm) before = mig_csv_vm(fixture->attached.csv, "web", NULL);
    g_autoptr(MigVm) vm = NULL;
    gboolean ok = run(&fixture->catalog, &request, FALSE, reply, &error);

    if (run == mig_vm_run_again && !before->wants_running && before->last_host_id)
        g_assert_error(error, MIG_ERROR, MIG_ERROR_VM_STOPPED);
    else
        g_assert_no_error(error);
    g_assert_true(ok == !error);
    if (run == mig_vm_run_wanted)
        g_assert_true(reply->beside == (!before->last_host_id ||
                                        (before->wants_running && before->last_host_id != by)));
    vm = mig_csv_vm(fixture->attached.csv, "web", NULL);
    g_assert_true(vm->wants_running == wants_running);
    g_assert_cmpuint(vm->last_host_id, ==, marked_by);
}

#define START(by, ...) assert_mark(fixture, mig_vm_run_wanted, TRUE, by, __VA_ARGS__)
#define STOP(by, ...)  assert_mark(fixture, mig_vm_run_wanted, FALSE, by, __VA_ARGS__)
#define AGAIN(by, ...) assert_mark(fixture, mig_vm_run_again, TRUE, by, __VA_ARGS__)
/* is_beside: what its mark was told */
#define TAKE_BACK(by, is_beside, ...) \
    assert_mark(fixture, mig_vm_run_unwant, is_beside, by, __VA_ARGS__)

static void
make_web(Fixture *fixture)
{
    make_vm(fixture, DEFINE, "44444444-4444-4444-8444-444444444444", DOMAIN(DISK("d1")));
}

/* A start that has found it wanted makes no stop undone that came meanwhile. */
static void
test_stopped_is_stopped(Fixture *fixture, gconstpointer data)
{
    make_web(fixture);
    START(3, TRUE, 3);
    AGAIN(4, TRUE, 4);
    STOP(3, FALSE, 4);
    AGAIN(5, FALSE, 4);
    STOP(3, FALSE, 4);
}

/* Of starts side by side some fail: what the one that is left finds is no stop. */
static void
test_take_back(Fixture *fixture, gconstpointer data)
{
    make_web(fixture);
    START(3, TRUE, 3);
    START(4, TRUE, 4);
    TAKE_BACK(3, TRUE, TRUE, 4); /* not its own */
    TAKE_BACK(4, TRUE, FALSE, 0);
    START(5, TRUE, 5);
    TAKE_BACK(5, TRUE, FALSE, 0);
    AGAIN(3, TRUE, 3); /* it came up */
    STOP(5, FALSE, 3);
}

/* A start that fails leaves word of the stop that came before it, for one that hangs longer. */
static void
test_take_back_behind_a_stop(Fixture *fixture, gconstpointer data)
{
    make_web(fixture);
    START(3, TRUE, 3); /* hangs */
    START(4, TRUE, 4);
    STOP(4, FALSE, 4);
    START(5, TRUE, 5);
    TAKE_BACK(5, FALSE, FALSE, 5);
    AGAIN(3, FALSE, 5);
}

/* A coordinator that has begun the mark and died cannot tell what it had found: of two starts the
 * one that fails must not look like a stop to the other one. */
static void
test_mark_begun_by_another(Fixture *fixture, gconstpointer data)
{
    MigPeerChangeRequest request = {.name = (char *)"web", .flag = TRUE, .host_id = 4};
    g_autoptr(MigPeerChangeReply) reply = mig_PeerChangeReply_new();
    g_autoptr(GError) error = NULL;

    make_web(fixture);
    START(3, TRUE, 3);
    START(4, TRUE, 4);
    g_assert_true(mig_vm_run_wanted(&fixture->catalog, &request, TRUE, reply, &error));
    g_assert_no_error(error);
    g_assert_true(reply->beside);
    TAKE_BACK(4, reply->beside, FALSE, 0);
    AGAIN(3, TRUE, 3);
}

/* Nobody's mark is taken for a start that has failed; a stop says more. */
static void
test_stop_of_nobodys(Fixture *fixture, gconstpointer data)
{
    make_web(fixture);
    STOP(4, FALSE, 4);
    STOP(5, FALSE, 4);
}

/* The VM is gone, and the coordinator died before its disks were. One is deleted by somebody, and
 * its name taken for something new: that stays. */
static void
test_undefine_again(Fixture *fixture, gconstpointer data)
{
    static const char xml[] = DOMAIN(DISK("d1") DISK("d2") DISK("d3"));
    char *images[] = {(char *)"d1", (char *)"d2", (char *)"d3", NULL}, *uuids[4] = {0};
    const MigEpoch undefine = by(UNDEFINE), later = by(LATER);
    g_autoptr(MigPeerChangeReply) reply = mig_PeerChangeReply_new();
    MigPeerChangeRequest request = {.id = (char *)UNDEFINE,
                                    .change = (char *)"vm-undefine",
                                    .again = TRUE,
                                    .name = (char *)"web",
                                    .images = images,
                                    .uuid = (char *)DEFINE,
                                    .uuids = uuids};
    g_autoptr(GError) error = NULL;

    make_vm(fixture, DEFINE, DEFINE, xml);
    for (guint i = 0; images[i]; i++) {
        make_image(fixture, images[i]);
        assign(fixture, images[i]);
        uuids[i] = uuid_of(fixture, images[i]);
    }
    g_assert_true(mig_csv_vm_delete(fixture->attached.csv, &undefine, "web", &error));
    for (guint i = 0; i < 2; i++)
        g_assert_true(mig_csv_image_delete(fixture->attached.csv, &later, images[i], &error));
    make_image(fixture, "d2");
    make_vm(fixture, LATER, LATER, xml); /* and a VM of that name */
    g_assert_true(mig_vm_run_undefine(&fixture->catalog, &request, TRUE, reply, &error));
    g_assert_no_error(error);
    assert_vm(fixture, LATER);
    g_assert_false(has_image(fixture, "d1"));
    g_assert_true(has_image(fixture, "d2"));
    g_assert_false(has_image(fixture, "d3"));
    /* an asker that does not tell which they are */
    request.uuids = NULL;
    g_assert_true(mig_vm_run_undefine(&fixture->catalog, &request, TRUE, reply, &error));
    g_assert_false(has_image(fixture, "d2"));
    for (guint i = 0; images[i]; i++)
        g_free(uuids[i]);
}

/* ---- with a sanlock ---- */

static void
note_finding(const struct csv_finding *finding, void *data)
{
    /* nobody takes the coordinator's lease on this LUN */
    if (!g_str_equal(finding->code, "lease-behind") || !strstr(finding->text, "coordinator"))
        g_string_append_printf(data, "%s%s ", finding->is_error ? "!" : "", finding->code);
}

/* As csvtool check would find it were the power cut now. */
static void
note_cut(Fixture *fixture)
{
    struct csv_volume *volume = NULL;
    struct csv_error error = {0};
    size_t errors = 0;

    g_assert_cmpint(csv_open(fixture->path, CSV_OPEN_READ_ONLY, &volume, &error), ==, CSV_OK);
    g_assert_cmpint(csv_check(volume, note_finding, fixture->seen, &errors, &error), ==, CSV_OK);
    csv_close(volume);
}

/* What sanlock writes, once it has checked that the lease is the client's. */
static void
rename_lease(Fixture *fixture, const char *new_name)
{
    g_autoptr(MigLease) lease = mig_csv_vm_lease(fixture->attached.csv, 0, new_name);
    struct {
        struct sanlk_resource resource;
        struct sanlk_disk disk;
    } to = {.resource = {.flags = SANLK_RES_ALIGN1M | SANLK_RES_SECTOR512, .num_disks = 1},
            .disk = {.offset = lease->offset_bytes}};

    g_strlcpy(to.resource.lockspace_name, "vol1", sizeof to.resource.lockspace_name);
    g_strlcpy(to.resource.name, new_name, sizeof to.resource.name);
    g_strlcpy(to.disk.path, fixture->path, sizeof to.disk.path);
    g_assert_cmpint(sanlock_direct_write_resource(&to.resource, 0, 0, 0), ==, 0);
}

static int
act(FakeSanlockCall call, const char *resource, const char *new_name, gpointer user_data)
{
    static const char *const names[] = {"acquire", "release", "rename"};
    Fixture *fixture = user_data;

    g_assert_cmpstr(resource, ==, "web");
    g_string_append_printf(fixture->seen, "%s ", names[call]);
    note_cut(fixture);
    if (call == FAKE_ACQUIRE)
        return fixture->held;
    if (new_name) {
        rename_lease(fixture, new_name);
        note_cut(fixture);
    }
    return 0;
}

static void
set_up_all(Fixture *fixture, gconstpointer data)
{
    const MigVolumesHooks hooks = {0};
    g_autoptr(GError) error = NULL;

    set_up(fixture, data);
    fixture->seen = g_string_new(NULL);
    fixture->dir = g_dir_make_tmp("mig-define-XXXXXX", &error);
    fixture->sanlock = fake_sanlock_start(act, fixture);
    g_mutex_init(&fixture->attached.lock);
    fixture->attached.seen = g_ptr_array_new();
    fixture->daemon.node = "nodeA";
    fixture->daemon.sanlock = mig_sanlock_new();
    fixture->daemon.store = mig_store_file_new(fixture->dir, 1, &error);
    g_assert_no_error(error);
    fixture->daemon.volumes = mig_volumes_new(&fixture->daemon, &hooks);
    fixture->daemon.jobs = mig_jobs_new(&fixture->daemon);
    fixture->daemon.vms = mig_vms_new(&fixture->daemon);
}

static void
tear_down_all(Fixture *fixture, gconstpointer data)
{
    mig_vms_free(fixture->daemon.vms);
    mig_jobs_free(fixture->daemon.jobs);
    mig_volumes_free(fixture->daemon.volumes);
    mig_store_file_free(fixture->daemon.store);
    mig_sanlock_free(fixture->daemon.sanlock);
    fake_sanlock_stop(fixture->sanlock);
    g_ptr_array_unref(fixture->attached.seen);
    g_mutex_clear(&fixture->attached.lock);
    g_rmdir(fixture->dir);
    g_free(fixture->dir);
    g_string_free(fixture->seen, TRUE);
    tear_down(fixture, data);
}

static gboolean
undefine(Fixture *fixture, const char *uuid, GError **error)
{
    MigPeerChangeRequest request = {.id = (char *)UNDEFINE,
                                    .change = (char *)"vm-undefine",
                                    .name = (char *)"web",
                                    .uuid = (char *)uuid};
    g_autoptr(MigPeerChangeReply) reply = mig_PeerChangeReply_new();

    fixture->catalog.epoch = by(UNDEFINE);
    return mig_vm_run_undefine(&fixture->catalog, &request, FALSE, reply, error);
}

/* Cut anywhere there is the VM, with a lease in its name, or there is none. */
static void
test_cuts(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GError) error = NULL;

    make_vm(fixture, DEFINE, DEFINE, DOMAIN(""));
    g_assert_false(undefine(fixture, LATER, &error)); /* that one is gone, and another one there */
    g_assert_error(error, MIG_ERROR, MIG_ERROR_VM_UNKNOWN);
    g_clear_error(&error);
    fixture->held = SANLK_ACQUIRE_IDLIVE;
    g_assert_false(undefine(fixture, DEFINE, &error));
    g_assert_error(error, MIG_ERROR, MIG_ERROR_VM_RUNNING);
    g_clear_error(&error);
    assert_vm(fixture, DEFINE);
    fixture->held = 0;
    g_assert_true(undefine(fixture, DEFINE, &error));
    g_assert_no_error(error);
    g_assert_null(mig_csv_vm(fixture->attached.csv, "web", NULL));
    g_assert_cmpstr(fixture->seen->str, ==, "acquire acquire rename lease-left ");
}

static bool
delete_disk(gpointer user_data)
{
    Fixture *fixture = user_data;
    const MigEpoch epoch = by(DEFINE);
    g_autoptr(MigCsv) other = mig_csv_open(fixture->path, NULL);
    g_autoptr(MigVm) made = mig_csv_vm(other, "web", NULL);

    if (!made && mig_csv_vm_lease_is_named(other, 0, "web"))
        mig_csv_image_delete(other, &epoch, "d1", NULL);
    return true;
}

/* What cannot be given its disk is taken back, by who has its lease: else somebody has started it.
 */
static void
test_taken_back(Fixture *fixture, gconstpointer data)
{
    MigPeerChangeRequest request = {
        .id = (char *)DEFINE, .change = (char *)"vm-define", .xml = (char *)DOMAIN(DISK("d1"))};
    g_autoptr(MigPeerChangeReply) reply = mig_PeerChangeReply_new();
    g_autoptr(GError) error = NULL;
    gboolean is_held = data != NULL;

    make_image(fixture, "d1");
    mig_csv_set_guard(fixture->attached.csv, delete_disk, fixture);
    fixture->held = is_held ? SANLK_ACQUIRE_IDLIVE : 0;
    g_assert_false(mig_vm_run_define(&fixture->catalog, &request, FALSE, reply, &error));
    g_assert_error(error, MIG_ERROR, MIG_ERROR_IMAGE_UNKNOWN);
    if (is_held)
        assert_vm(fixture, DEFINE);
    else
        g_assert_null(mig_csv_vm(fixture->attached.csv, "web", NULL));
    g_assert_cmpstr(fixture->seen->str, ==, is_held ? "acquire " : "acquire rename lease-left ");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name, data, function) \
    g_test_add("/vm-define/" name, Fixture, data, set_up, function, tear_down)
    ADD("another-since", NULL, test_another_since);
    ADD("another-since-and-its-disk", "", test_another_since);
    ADD("edited-since", NULL, test_edited_since);
    ADD("goes-on", NULL, test_goes_on);
    ADD("second-try", NULL, test_second_try);
    ADD("gone", NULL, test_gone);
    ADD("image-meant", NULL, test_image_meant);
    ADD("undefine-again", NULL, test_undefine_again);
    ADD("take-back", NULL, test_take_back);
    ADD("take-back-behind-a-stop", NULL, test_take_back_behind_a_stop);
    ADD("mark-begun-by-another", NULL, test_mark_begun_by_another);
    ADD("stop-of-nobodys", NULL, test_stop_of_nobodys);
    ADD("stopped-is-stopped", NULL, test_stopped_is_stopped);
#define ADD_ALL(name, data, function) \
    g_test_add("/vm-define/" name, Fixture, data, set_up_all, function, tear_down_all)
    ADD_ALL("cuts", NULL, test_cuts);
    ADD_ALL("taken-back", NULL, test_taken_back);
    ADD_ALL("held-and-not-taken-back", "", test_taken_back);
    return g_test_run();
}
