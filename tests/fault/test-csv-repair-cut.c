/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-csv-repair-cut.c - a repair is cut short at each of its writes; the next one ends it. */

/*
 * libcsv's writes and those of sanlock's library, which makes its own areas, all go through this
 * program's pwrite(), fallocate() and io_submit(). A child repairs and is gone at the n-th of them,
 * of which nothing, the first sector or the first half has landed. Then a check has a word about it
 * or all is mended, and a second repair ends with what a first one that nobody cut does: leases
 * that sanlock takes, and that count on from where the catalogue says that they were.
 */

#include <fcntl.h>
#include <glib/gstdio.h>
#include <linux/aio_abi.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scenarios.h"

#define SECTOR     512u
#define HOSTS      4
#define LVER       77
#define GENERATION 41
#define DONE       3 /* how a child ends that nobody cut */

#define TAKEN 9
static const struct csv_lease_owner taken = {
    .lver = TAKEN, .last_host_id = 2, .host_generation = 40};
static const struct csv_lease_owner older = {
    .lver = LVER - 1, .last_host_id = 3, .host_generation = 5};

enum part { NOTHING, A_SECTOR, HALF, PARTS };

static unsigned cut_at, write_count; /* 0: not at all */
static enum part cut_part;

/* How much of a write is to land; it is the last one where that is less than all. */
static size_t
landing(size_t bytes)
{
    if (!cut_at || ++write_count < cut_at)
        return bytes;
    return cut_part == NOTHING ? 0 : cut_part == A_SECTOR ? SECTOR : bytes / 2 / SECTOR * SECTOR;
}

static bool
is_last(void)
{
    return cut_at && write_count == cut_at;
}

ssize_t
pwrite(int fd, const void *buffer, size_t bytes, off_t offset)
{
    ssize_t put = syscall(SYS_pwrite64, fd, buffer, landing(bytes), offset);

    if (is_last())
        _exit(0);
    return put;
}

/* which zeroes are written by */
int
fallocate(int fd, int mode, off_t offset, off_t bytes)
{
    size_t lands = landing((size_t)bytes);
    int result = lands ? (int)syscall(SYS_fallocate, fd, mode, offset, lands) : 0;

    if (is_last())
        _exit(0);
    return result;
}

/* libaio's, which sanlock's library writes by: its iocb is the kernel's */
__attribute__((visibility("default"))) int
io_submit(aio_context_t context, long count, struct iocb **iocbs);

int
io_submit(aio_context_t context, long count, struct iocb **iocbs)
{
    if (count == 1 && iocbs[0]->aio_lio_opcode == IOCB_CMD_PWRITE) {
        const struct iocb *one = iocbs[0];
        size_t bytes = landing(one->aio_nbytes);

        if (is_last()) {
            syscall(SYS_pwrite64, one->aio_fildes, one->aio_buf, bytes, one->aio_offset);
            _exit(0);
        }
    }
    return (int)syscall(SYS_io_submit, context, count, iocbs);
}

/* ---- a volume, and what may be damaged of it ---- */

static char *path;
static int fd;

static struct csv_volume *
open_volume(void)
{
    struct csv_volume *volume;

    assert_ok(csv_open(path, 0, &volume, error));
    return volume;
}

static void
take(struct csv_volume *volume, enum csv_lease_kind kind, const struct csv_lease_owner *was,
     uint64_t timestamp)
{
    struct csv_lease lease;

    assert_ok(csv_lease_locate(volume, kind, 0, &lease, error));
    take_lease(fd, &lease, was, timestamp);
}

static void
make_volume(void)
{
    static const struct csv_format_options options = {
        .name = "vol1", .max_nodes = HOSTS, .max_vms = 4, .max_images = 8, .extent_bytes = MIB};
    const struct csv_epoch epoch = {.lver = LVER, .host_generation = 3, .host_id = 1};
    struct csv_node node = {.host_id = 2, .name = "n2", .host_generation = GENERATION};
    struct csv_vm vm = test_vm("web", 1);
    struct csv_volume *volume;

    g_assert_cmpint(ftruncate(fd, 0), ==, 0);
    g_assert_cmpint(ftruncate(fd, 40 * (off_t)MIB), ==, 0);
    assert_ok(csv_format(path, &options, NULL, error));
    volume = open_volume();
    assert_ok(csv_image_create(volume, &epoch, "disk", MIB, 0, NULL, error));
    assert_ok(csv_vm_create(volume, &epoch, &vm, error));
    assert_ok(csv_node_write(volume, &node, error));
    assert_ok(csv_repair(path, false, NULL, NULL, NULL, error)); /* nobody took a lease so often */
    take(volume, CSV_LEASE_VM, &taken, 0);
    csv_close(volume);
}

static void
overwrite(uint64_t offset, uint64_t bytes)
{
    g_autofree char *junk = g_malloc(bytes);

    memset(junk, 'x', bytes);
    g_assert_cmpint(pwrite(fd, junk, bytes, (off_t)offset), ==, (ssize_t)bytes);
}

static void
damage_lease(struct csv_volume *volume, enum csv_lease_kind kind)
{
    struct csv_lease lease;

    assert_ok(csv_lease_locate(volume, kind, 0, &lease, error));
    overwrite(lease.offset_bytes, lease.align_bytes);
}

static void
damage_coordinator(struct csv_volume *volume)
{
    damage_lease(volume, CSV_LEASE_COORDINATOR);
}

static void
damage_registry(struct csv_volume *volume)
{
    damage_lease(volume, CSV_LEASE_REGISTRY);
}

static void
damage_vm(struct csv_volume *volume)
{
    damage_lease(volume, CSV_LEASE_VM);
}

/* One host's ballot, and the leader record is sound */
static void
damage_ballot_of(struct csv_volume *volume, enum csv_lease_kind kind)
{
    struct csv_lease lease;

    assert_ok(csv_lease_locate(volume, kind, 0, &lease, error));
    overwrite(lease.offset_bytes + 9 * SECTOR, SECTOR);
}

static void
damage_ballot(struct csv_volume *volume)
{
    damage_ballot_of(volume, CSV_LEASE_VM);
}

/* The same, and sanlock's request record, of one that a host had when it died */
static void
damage_owned(struct csv_volume *volume)
{
    struct csv_lease lease;

    take(volume, CSV_LEASE_VM, &taken, 1234);
    assert_ok(csv_lease_locate(volume, CSV_LEASE_VM, 0, &lease, error));
    overwrite(lease.offset_bytes + SECTOR, 9 * SECTOR);
}

/* The record is an older one than its own ballots */
#define LATER 12
static void
damage_later(struct csv_volume *volume)
{
    struct csv_lease lease;

    assert_ok(csv_lease_locate(volume, CSV_LEASE_VM, 0, &lease, error));
    write_ballot(fd, &lease, 1, LATER, true);
    write_ballot(fd, &lease, 2, LATER - 1, true);
}

/* The record is an older one than the newest change was made by */
static void
damage_behind(struct csv_volume *volume)
{
    take(volume, CSV_LEASE_COORDINATOR, &older, 0);
    damage_ballot_of(volume, CSV_LEASE_COORDINATOR);
}

static void
damage_host(struct csv_volume *volume)
{
    struct csv_lease lockspace;

    csv_lockspace_locate(volume, &lockspace);
    overwrite(lockspace.offset_bytes + SECTOR, SECTOR);
}

static void
damage_lockspace(struct csv_volume *volume)
{
    struct csv_lease lockspace;

    csv_lockspace_locate(volume, &lockspace);
    overwrite(lockspace.offset_bytes, lockspace.align_bytes);
}

static void
damage_slots(struct csv_volume *volume)
{
    const struct csv_super *super = &volume->super;

    overwrite(csv_slot_address(super, CSV_KIND_IMAGE, 0, 0), SECTOR);
    overwrite(csv_slot_address(super, CSV_KIND_VM, 0, 1), SECTOR);
    overwrite(csv_slot_address(super, CSV_KIND_SUPER, 0, 1), SECTOR);
}

static void
damage_all(struct csv_volume *volume)
{
    damage_slots(volume);
    damage_coordinator(volume);
    damage_registry(volume);
    damage_vm(volume);
    damage_lockspace(volume);
}

static const struct damage {
    const char *name;
    void (*make)(struct csv_volume *volume);
    unsigned least_writes;
    uint64_t lver; /* how often the VM's lease counts as taken then; 0: its leader record is lost */
} damages[] = {
    {"coordinator", damage_coordinator, 3, TAKEN},
    {"registry", damage_registry, 2, TAKEN},
    {"vm", damage_vm, 2, 0},
    {"ballot", damage_ballot, 2, TAKEN},
    {"owned", damage_owned, 3, TAKEN},
    {"later", damage_later, 3, LATER},
    {"behind", damage_behind, 3, TAKEN},
    {"host", damage_host, 1, TAKEN},
    {"lockspace", damage_lockspace, 2, TAKEN},
    {"slots", damage_slots, 3, TAKEN},
    {"all", damage_all, 12, 0},
};

/* ---- judged ---- */

static const struct csv_lease_owner by_ballot = {
    .lver = LATER, .last_host_id = 1, .host_generation = 1};

static void
assert_lease(struct csv_volume *volume, enum csv_lease_kind kind, uint64_t lver)
{
    struct csv_lease_owner owner;
    struct csv_lease lease;

    assert_ok(csv_lease_locate(volume, kind, 0, &lease, error));
    assert_ok(csv_lease_check(volume, kind, 0, &owner, error));
    if (kind != CSV_LEASE_VM)
        g_assert_cmpstr(owner.resource, ==, lease.resource);
    g_assert_cmpuint(owner.host_id, ==, 0);
    g_assert_cmpuint(owner.lver, ==, lver);
}

/* Who had it last, by its leader record: whenever that can be read; by a ballot, once it counts as
 * often as that. */
static void
assert_owner(struct csv_volume *volume, enum csv_lease_kind kind, const struct csv_lease_owner *was)
{
    struct csv_lease_owner owner;

    assert_ok(csv_lease_read(volume, kind, 0, &owner, error));
    g_assert_cmpstr(owner.resource, ==, kind == CSV_LEASE_VM ? "web" : ".coordinator");
    g_assert_cmpuint(owner.lver, >=, was->lver);
    if (owner.lver == LATER)
        was = &by_ballot;
    g_assert_cmpuint(owner.last_host_id, ==, was->last_host_id);
    g_assert_cmpuint(owner.host_generation, ==, was->host_generation);
}

static void
assert_owners(struct csv_volume *volume, const struct damage *damage)
{
    if (damage->lver)
        assert_owner(volume, CSV_LEASE_VM, &taken);
    if (damage->make == damage_behind)
        assert_owner(volume, CSV_LEASE_COORDINATOR, &older);
}

static void
assert_mended(const char *state, uint64_t vm_lver)
{
    struct csv_volume *volume = open_volume();
    g_autofree char *now = describe(volume);
    struct csv_host_lease host;

    g_assert_cmpstr(now, ==, state);
    assert_lease(volume, CSV_LEASE_COORDINATOR, LVER);
    assert_lease(volume, CSV_LEASE_REGISTRY, 0);
    assert_lease(volume, CSV_LEASE_VM, vm_lver);
    assert_ok(csv_lockspace_read(volume, 2, &host, error));
    g_assert_true(host.is_free);
    g_assert_cmpuint(host.host_generation, ==, GENERATION);
    csv_close(volume);
}

static void
count(const struct csv_finding *finding, void *data)
{
    (void)finding;
    ++*(unsigned *)data;
}

static unsigned
findings(void)
{
    struct csv_volume *volume = open_volume();
    unsigned found = 0;
    size_t errors;

    assert_ok(csv_check(volume, count, &found, &errors, error));
    csv_close(volume);
    return found;
}

/* A child of ours repairs up to its n-th write. Returns whether it came to its end. */
static bool
repair_and_die(unsigned n, enum part part)
{
    int status;
    pid_t child = fork();

    g_assert_cmpint(child, >=, 0);
    if (child == 0) {
        cut_at = n;
        cut_part = part;
        _exit(csv_repair(path, true, NULL, NULL, NULL, NULL) ? 1 : DONE);
    }
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_true(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == DONE));
    return WEXITSTATUS(status) == DONE;
}

static void
cut(const struct damage *damage, const char *state, unsigned n, enum part part, bool *is_done)
{
    struct csv_volume *volume;
    unsigned left;
    size_t mended;

    make_volume();
    volume = open_volume();
    damage->make(volume);
    csv_close(volume);
    *is_done = repair_and_die(n, part);
    volume = open_volume();
    assert_owners(volume, damage);
    csv_close(volume);
    left = findings();
    assert_ok(csv_repair(path, true, NULL, NULL, &mended, error));
    if ((left == 0) != (mended == 0))
        g_error("%s, write %u, part %d: %u findings, then %zu mended", damage->name, n, part, left,
                mended);
    if (*is_done)
        g_assert_cmpuint(left, ==, 0);
    assert_mended(state, damage->lver);
    volume = open_volume();
    assert_owners(volume, damage);
    csv_close(volume);
    g_assert_cmpuint(findings(), ==, 0);
}

static void
test_cut(const void *data)
{
    const struct damage *damage = data;
    g_autofree char *state = NULL;
    struct csv_volume *volume;
    bool is_done = false;
    unsigned n = 0;

    make_volume();
    volume = open_volume();
    state = describe(volume);
    csv_close(volume);
    assert_mended(state, TAKEN);
    while (!is_done) {
        n++;
        for (enum part part = NOTHING; part < PARTS; part++)
            cut(damage, state, n, part, &is_done);
    }
    g_test_message("%u writes", n - 1);
    g_assert_cmpuint(n - 1, >=, damage->least_writes);
}

int
main(int argc, char **argv)
{
    int result;

    g_test_init(&argc, &argv, NULL);
    path = g_build_filename(g_get_tmp_dir(), "csv-test-XXXXXX", NULL);
    fd = g_mkstemp(path);
    g_assert_cmpint(fd, >=, 0);
    for (size_t i = 0; i < G_N_ELEMENTS(damages); i++) {
        g_autofree char *name = g_strdup_printf("/csv/repair-cut/%s", damages[i].name);
        g_test_add_data_func(name, &damages[i], test_cut);
    }
    result = g_test_run();
    g_unlink(path);
    g_free(path);
    return result;
}
