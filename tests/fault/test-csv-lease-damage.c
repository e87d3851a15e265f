/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-csv-lease-damage.c - each sector of sanlock's leases damaged in each way: it shows, and is
 * mended. */

/*
 * The leases were taken by sanlock itself, several times by two hosts, and are once held and once
 * free at the end. Ways: zeroed, a bit flipped in each field that a checksum covers, swapped with
 * the other sectors of its lease and with its like in the other leases, replaced by each version of
 * itself that there has been. After each csv_check() has a word about it and csv_repair() leaves
 * none: the lease has its name and is free, and counts no less than before; one whose leader record
 * is lost counts from the start.
 *
 * Left are the ballots of hosts that have not taken the lease last: what they say is over, sanlock
 * reads no more of them than that, and none of these ways makes them say more. There sanlock takes
 * the lease as if nothing had been.
 */

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "crc32c.h"
#include "csv-test.h"
#include "lease-record.h"

#define SECTOR   512
#define HOSTS    4
#define SECTORS  (DBLOCKS_AT + HOSTS)
#define BYTES    ((size_t)SECTORS * SECTOR)
#define LEASES   4
#define VERSIONS 7

static const struct csv_epoch epoch = {1, 1, 1, ""};
static const struct csv_format_options options = {
    .name = "vol1", .max_nodes = HOSTS, .max_vms = 2, .max_images = 4, .extent_bytes = MIB};

static const struct {
    enum csv_lease_kind kind;
    uint32_t index;
    const char *name;
} leases[LEASES] = {{CSV_LEASE_COORDINATOR, 0, ".coordinator"},
                    {CSV_LEASE_REGISTRY, 0, ".registry"},
                    {CSV_LEASE_VM, 0, "web"},
                    {CSV_LEASE_VM, 1, "db"}};

struct fixture {
    char *path;
    int fd;
    struct csv_volume *volume;
    uint64_t at[LEASES];
    uint8_t versions[LEASES][VERSIONS][BYTES]; /* the last but one is held, the last one free */
    unsigned sound;                            /* the version that is damaged */
    unsigned seen, idle;
};

static void
put(const struct fixture *fixture, unsigned lease, const uint8_t *area)
{
    g_assert_cmpint(pwrite(fixture->fd, area, BYTES, (off_t)fixture->at[lease]), ==, BYTES);
}

/* By real sanlock, without its daemon. */
static gboolean
take(const struct fixture *fixture, unsigned lease, unsigned host_id)
{
    g_autofree char *resource =
        g_strdup_printf("vol1:%s:%s:%lu", leases[lease].name, fixture->path, fixture->at[lease]);
    g_autofree char *host = g_strdup_printf("%u", host_id);
    g_autofree char *generation = g_strdup_printf("%u", 7 + lease);
    const char *const argv[] = {"sanlock", "direct", "acquire", "-r",       resource,
                                "-i",      host,     "-g",      generation, NULL};
    int status = -1;
    g_autoptr(GError) failure = NULL;

    g_spawn_sync(NULL, (char **)argv, NULL,
                 G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL,
                 NULL, NULL, NULL, NULL, &status, &failure);
    g_assert_no_error(failure);
    return status == 0;
}

/* Puts a sound leader record or ballot into an area. */
static void
put_leader(uint8_t *area, struct disk_leader leader)
{
    leader.checksum = GUINT32_TO_LE(csv_crc32c_raw(~1u, &leader, LEADER_CHECKED));
    memcpy(area, &leader, sizeof(leader));
}

static void
put_dblock(uint8_t *area, unsigned host_id, struct disk_dblock dblock)
{
    dblock.checksum = GUINT32_TO_LE(csv_crc32c_raw(~1u, &dblock, DBLOCK_CHECKED));
    memcpy(area + (DBLOCKS_AT + host_id - 1) * SECTOR, &dblock, sizeof(dblock));
}

/* As sanlock does: the host's ballot is flagged, then the leader record says so. */
static void
give_back(uint8_t *area)
{
    struct disk_leader leader;
    struct disk_dblock dblock;
    uint8_t *ballot;

    memcpy(&leader, area, sizeof(leader));
    ballot = area + (DBLOCKS_AT + GUINT64_FROM_LE(leader.owner_id) - 1) * SECTOR;
    memcpy(&dblock, ballot, sizeof(dblock));
    dblock.flags = GUINT32_TO_LE(DBLOCK_RELEASED);
    memcpy(ballot, &dblock, sizeof(dblock));
    leader.timestamp = 0;
    put_leader(area, leader);
}

static void
make_history(struct fixture *fixture, unsigned lease)
{
    static const unsigned takers[] = {1, 2, 1};
    uint8_t(*version)[BYTES] = fixture->versions[lease];

    for (unsigned i = 0; i < VERSIONS; i++) {
        if (i % 2 == 1)
            g_assert_true(take(fixture, lease, takers[i / 2]));
        g_assert_cmpint(pread(fixture->fd, version[i], BYTES, (off_t)fixture->at[lease]), ==,
                        BYTES);
        if (i && i % 2 == 0) {
            give_back(version[i]);
            put(fixture, lease, version[i]);
        }
    }
}

static void
set_up(struct fixture *fixture, const void *data)
{
    struct csv_vm vm = test_vm("web", 1);
    struct csv_lease lease;

    fixture->sound = GPOINTER_TO_UINT(data);
    make_file_volume(&options, &fixture->path, &fixture->fd, &fixture->volume);
    assert_ok(csv_vm_create(fixture->volume, &epoch, &vm, error));
    vm = test_vm("db", 2);
    assert_ok(csv_vm_create(fixture->volume, &epoch, &vm, error));
    for (unsigned i = 0; i < LEASES; i++) {
        assert_ok(
            csv_lease_locate(fixture->volume, leases[i].kind, leases[i].index, &lease, error));
        fixture->at[i] = lease.offset_bytes;
        make_history(fixture, i);
    }
}

static void
tear_down(struct fixture *fixture, const void *data)
{
    (void)data;
    drop_file_volume(fixture->path, fixture->fd, fixture->volume);
}

static void
reset(const struct fixture *fixture)
{
    for (unsigned i = 0; i < LEASES; i++)
        put(fixture, i, fixture->versions[i][fixture->sound]);
}

static void
count_finding(const struct csv_finding *finding, void *data)
{
    ++*(unsigned *)data;
    g_debug("%s: %s", finding->code, finding->text);
}

static unsigned
findings(const struct fixture *fixture)
{
    unsigned count = 0;
    size_t errors;

    assert_ok(csv_check(fixture->volume, count_finding, &count, &errors, error));
    return count;
}

/* A ballot of who has not taken the lease last. */
static gboolean
is_idle(unsigned sector)
{
    return sector > DBLOCKS_AT; /* host 1 was the last one */
}

static void
assert_idle(struct fixture *fixture, unsigned lease, const char *how)
{
    struct csv_lease_owner owner;

    assert_ok(
        csv_lease_read(fixture->volume, leases[lease].kind, leases[lease].index, &owner, error));
    g_assert_cmpuint(owner.lver, ==, 3);
    g_assert_cmpuint(owner.last_host_id, ==, 1);
    if (!owner.host_id) {
        if (!take(fixture, lease, 3))
            g_error("%s: cannot be taken", how);
        assert_ok(csv_lease_read(fixture->volume, leases[lease].kind, leases[lease].index, &owner,
                                 error));
        g_assert_cmpuint(owner.lver, ==, 4);
        g_assert_cmpuint(owner.host_id, ==, 3);
    }
    fixture->idle++;
}

static void
judge(struct fixture *fixture, unsigned lease, unsigned sector, const char *how_take)
{
    g_autofree char *how = g_strdup_printf("lease %s %s, sector %u, %s", leases[lease].name,
                                           fixture->sound % 2 ? "held" : "free", sector, how_take);
    struct csv_lease_owner owner;

    if (findings(fixture) == 0) {
        if (!is_idle(sector))
            g_error("%s: nobody notices", how);
        assert_idle(fixture, lease, how);
        return;
    }
    fixture->seen++;
    assert_ok(csv_repair(fixture->path, false, NULL, NULL, NULL, error));
    if (findings(fixture) != 0)
        g_error("%s: not mended", how);
    for (unsigned i = 0; i < LEASES; i++) {
        assert_ok(csv_lease_check(fixture->volume, leases[i].kind, leases[i].index, &owner, error));
        g_assert_cmpstr(owner.resource, ==, leases[i].name);
        if (i != lease && fixture->sound % 2)
            continue; /* nobody had to look at that one */
        g_assert_cmpuint(owner.host_id, ==, 0);
        if (sector != 0 && owner.lver < 3)
            g_error("%s: counts from %lu on", how, owner.lver);
    }
}

static void
test_zeroed(struct fixture *fixture, const void *data)
{
    static const uint8_t zeroes[SECTOR];

    for (unsigned lease = 0; lease < LEASES; lease++)
        for (unsigned sector = 0; sector < SECTORS; sector++) {
            uint8_t area[BYTES];

            reset(fixture);
            memcpy(area, fixture->versions[lease][fixture->sound], BYTES);
            if (memcmp(area + sector * SECTOR, zeroes, SECTOR) == 0)
                continue;
            memset(area + sector * SECTOR, 0, SECTOR);
            put(fixture, lease, area);
            judge(fixture, lease, sector, "zeroed");
        }
    g_assert_cmpuint(fixture->seen, ==, LEASES * 3);
}

static void
test_flipped(struct fixture *fixture, const void *data)
{
    static const unsigned of_leader[] = {0,  6,  8,  12,  16,  24,  32,  40,
                                         48, 56, 90, 104, 140, 152, 160, 168},
                          of_request[] = {0, 3, 6, 7}, of_ballot[] = {0, 8, 16, 24, 32, 40, 48, 52};

    for (unsigned lease = 0; lease < LEASES; lease += 2)
        for (unsigned sector = 0; sector < DBLOCKS_AT + 2; sector++) {
            const unsigned *offsets = sector == 0   ? of_leader
                                      : sector == 1 ? of_request
                                                    : of_ballot;
            unsigned count = sector == 0   ? G_N_ELEMENTS(of_leader)
                             : sector == 1 ? G_N_ELEMENTS(of_request)
                                           : G_N_ELEMENTS(of_ballot);

            for (unsigned k = 0; k < count; k++) {
                g_autofree char *how = g_strdup_printf("bit flipped at %u", offsets[k]);
                uint8_t area[BYTES];

                reset(fixture);
                memcpy(area, fixture->versions[lease][fixture->sound], BYTES);
                area[sector * SECTOR + offsets[k]] ^= 1;
                put(fixture, lease, area);
                judge(fixture, lease, sector, how);
            }
        }
}

static void
test_swapped(struct fixture *fixture, const void *data)
{
    for (unsigned lease = 0; lease < LEASES; lease++)
        for (unsigned sector = 0; sector < SECTORS; sector++)
            for (unsigned other = lease; other < LEASES; other++)
                for (unsigned there = other == lease ? sector + 1 : sector;
                     there < (other == lease ? SECTORS : sector + 1); there++) {
                    g_autofree char *how =
                        g_strdup_printf("swapped with %s, sector %u", leases[other].name, there);
                    uint8_t(*all)[VERSIONS][BYTES] = fixture->versions;
                    const uint8_t *a = all[lease][fixture->sound] + sector * SECTOR;
                    const uint8_t *b = all[other][fixture->sound] + there * SECTOR;

                    if (memcmp(a, b, SECTOR) == 0)
                        continue;
                    reset(fixture);
                    g_assert_cmpint(pwrite(fixture->fd, a, SECTOR,
                                           (off_t)(fixture->at[other] + there * SECTOR)),
                                    ==, SECTOR);
                    g_assert_cmpint(pwrite(fixture->fd, b, SECTOR,
                                           (off_t)(fixture->at[lease] + sector * SECTOR)),
                                    ==, SECTOR);
                    judge(fixture, lease, sector, how);
                }
}

static void
test_older(struct fixture *fixture, const void *data)
{
    for (unsigned lease = 0; lease < LEASES; lease++)
        for (unsigned sector = 0; sector < SECTORS; sector++)
            for (unsigned version = 0; version < fixture->sound; version++) {
                g_autofree char *how = g_strdup_printf("as it was in version %u", version);
                const uint8_t *old = fixture->versions[lease][version] + sector * SECTOR;
                uint8_t area[BYTES];

                memcpy(area, fixture->versions[lease][fixture->sound], BYTES);
                if (memcmp(area + sector * SECTOR, old, SECTOR) == 0)
                    continue;
                reset(fixture);
                memcpy(area + sector * SECTOR, old, SECTOR);
                put(fixture, lease, area);
                judge(fixture, lease, sector, how);
            }
    g_test_message("%u noticed and mended, %u of no meaning", fixture->seen, fixture->idle);
    g_assert_cmpuint(fixture->seen, >, LEASES * 8);
}

/* Nothing is found where nothing is damaged, at no step of sanlock's; and what a repair leaves is
 * taken by sanlock again. */
static void
test_sound(struct fixture *fixture, const void *data)
{
    struct csv_lease_owner owner;

    for (unsigned version = 1; version < VERSIONS; version++) { /* 0: no epoch was written yet */
        for (unsigned i = 0; i < LEASES; i++)
            put(fixture, i, fixture->versions[i][version]);
        g_assert_cmpuint(findings(fixture), ==, 0);
    }
    put(fixture, 2, fixture->versions[2][3]);
    g_assert_cmpint(pwrite(fixture->fd, fixture->versions[2][2], SECTOR, (off_t)fixture->at[2]), ==,
                    SECTOR);
    g_assert_cmpuint(findings(fixture), ==, 1);
    assert_ok(csv_repair(fixture->path, false, NULL, NULL, NULL, error));
    g_assert_cmpuint(findings(fixture), ==, 0);
    g_assert_true(take(fixture, 2, 1));
    g_assert_cmpuint(findings(fixture), ==, 0);
    assert_ok(csv_lease_read(fixture->volume, CSV_LEASE_VM, 0, &owner, error));
    g_assert_cmpuint(owner.lver, ==, 3);
    g_assert_cmpuint(owner.host_id, ==, 1);
}

/* What sanlock leaves where its storage fails, or where two were at it, is no damage. */
static void
test_left(struct fixture *fixture, const void *data)
{
    const uint8_t *sound = fixture->versions[2][fixture->sound];
    const struct disk_dblock retracted = {.flags = GUINT32_TO_LE(DBLOCK_RELEASED)};
    const struct disk_dblock begun = {.mbal = GUINT64_TO_LE(2003), .lver = GUINT64_TO_LE(4)};
    struct disk_leader leader;
    uint8_t area[BYTES];

    reset(fixture);
    memcpy(area, sound, BYTES);
    put_dblock(area, 1, retracted);
    put(fixture, 2, area);
    g_assert_cmpuint(findings(fixture), ==, 0);

    memcpy(area, sound, BYTES);
    put_dblock(area, 3, begun);
    put(fixture, 2, area);
    g_assert_cmpuint(findings(fixture), ==, 0);

    /* another one found that the owner had won: the owner's ballot may be any by now */
    memcpy(area, sound, BYTES);
    memcpy(&leader, area, sizeof(leader));
    leader.write_id = GUINT64_TO_LE(2);
    put_leader(area, leader);
    put_dblock(area, 1, (struct disk_dblock){.mbal = 1, .lver = GUINT64_TO_LE(2)});
    put(fixture, 2, area);
    g_assert_cmpuint(findings(fixture), ==, 0);

    /* nobody's */
    leader.write_id = leader.owner_id = GUINT64_TO_LE(1ull << 63);
    leader.num_hosts = UINT64_MAX;
    put_leader(area, leader);
    put(fixture, 2, area);
    g_assert_cmpuint(findings(fixture), ==, 0);
}

/* Sound ballots that differ from the record in one thing. */
static void
test_one_thing(struct fixture *fixture, const void *data)
{
    const uint8_t *sound = fixture->versions[2][fixture->sound];
    struct disk_dblock dblock, other;

    memcpy(&dblock, sound + DBLOCKS_AT * SECTOR, sizeof(dblock));
    for (unsigned i = 0; i < 4; i++) {
        uint8_t area[BYTES];

        if (i == 3 && fixture->sound % 2 == 0)
            continue; /* when it was taken is forgotten */
        other = dblock;
        *(i == 0 ? &other.lver : i == 1 ? &other.inp : i == 2 ? &other.inp2 : &other.inp3) -= 1;
        memcpy(area, sound, BYTES);
        put_dblock(area, 1, other);
        reset(fixture);
        put(fixture, 2, area);
        judge(fixture, 2, DBLOCKS_AT, "differs in one thing");
        g_assert_cmpuint(fixture->seen, ==, i + 1);
    }
}

/* A record that is older than a ballot: who won that one had it last, the highest of several; one
 * that was about to take it tells that those before it are through, and not who they were. */
static void
test_newest(struct fixture *fixture, const void *data)
{
    const struct disk_dblock won = {.mbal = GUINT64_TO_LE(2002),
                                    .bal = GUINT64_TO_LE(2002),
                                    .inp = GUINT64_TO_LE(2),
                                    .inp2 = GUINT64_TO_LE(9),
                                    .inp3 = GUINT64_TO_LE(77),
                                    .lver = GUINT64_TO_LE(4)};
    const struct disk_dblock lost = {.mbal = GUINT64_TO_LE(3),
                                     .bal = GUINT64_TO_LE(3),
                                     .inp = GUINT64_TO_LE(3),
                                     .inp2 = GUINT64_TO_LE(8),
                                     .inp3 = GUINT64_TO_LE(78),
                                     .lver = GUINT64_TO_LE(4)};
    const struct disk_dblock begun = {.mbal = GUINT64_TO_LE(4), .lver = GUINT64_TO_LE(6)};
    struct csv_lease_owner owner;
    uint8_t area[BYTES];

    for (unsigned i = 0; i < 2; i++) {
        memcpy(area, fixture->versions[2][fixture->sound], BYTES);
        put_dblock(area, 2, won);
        put_dblock(area, 3, lost);
        if (i == 1)
            put_dblock(area, 4, begun);
        reset(fixture);
        put(fixture, 2, area);
        g_assert_cmpuint(findings(fixture), ==, 1);
        assert_ok(csv_repair(fixture->path, false, NULL, NULL, NULL, error));
        g_assert_cmpuint(findings(fixture), ==, 0);
        assert_ok(csv_lease_read(fixture->volume, CSV_LEASE_VM, 0, &owner, error));
        g_assert_cmpuint(owner.lver, ==, i ? 5 : 4);
        g_assert_cmpuint(owner.host_id, ==, 0);
        g_assert_cmpuint(owner.last_host_id, ==, i ? 0 : 2);
        g_assert_cmpuint(owner.host_generation, ==, i ? 0 : 9);
        g_assert_true(take(fixture, 2, 3));
    }
}

/* A record of one taking ago, and the winner's ballot is there: who takes the lease next finds that
 * one in it, and does not get it. */
static void
test_taken_next(struct fixture *fixture, const void *data)
{
    struct csv_lease_owner owner;
    uint8_t area[BYTES];

    reset(fixture);
    memcpy(area, fixture->versions[2][fixture->sound], BYTES);
    memcpy(area, fixture->versions[2][4], SECTOR);
    put(fixture, 2, area);
    g_assert_false(take(fixture, 2, 2));
    assert_ok(csv_lease_read(fixture->volume, CSV_LEASE_VM, 0, &owner, error));
    g_assert_cmpuint(owner.lver, ==, 3);
    g_assert_cmpuint(owner.host_id, ==, 1);
}

/* A host is there: what is against the record may be a moment of a taking, and stays. */
static void
test_not_alone(struct fixture *fixture, const void *data)
{
    struct csv_lease lockspace;
    struct disk_leader leader;
    uint8_t area[BYTES], after[BYTES];

    reset(fixture);
    memcpy(area, fixture->versions[2][fixture->sound], BYTES);
    memcpy(area, fixture->versions[2][4], SECTOR);
    put(fixture, 2, area);
    csv_lockspace_locate(fixture->volume, &lockspace);
    g_assert_cmpint(pread(fixture->fd, &leader, sizeof(leader), (off_t)lockspace.offset_bytes), ==,
                    sizeof(leader));
    leader.owner_id = GUINT64_TO_LE(1);
    leader.owner_generation = GUINT64_TO_LE(7);
    leader.timestamp = GUINT64_TO_LE(1000);
    leader.checksum = GUINT32_TO_LE(csv_crc32c_raw(~1u, &leader, LEADER_CHECKED));
    g_assert_cmpint(pwrite(fixture->fd, &leader, sizeof(leader), (off_t)lockspace.offset_bytes), ==,
                    sizeof(leader));
    assert_code(csv_repair(fixture->path, false, NULL, NULL, NULL, error), CSV_BUSY);
    assert_ok(csv_repair(fixture->path, true, NULL, NULL, NULL, error));
    g_assert_cmpint(pread(fixture->fd, after, BYTES, (off_t)fixture->at[2]), ==, BYTES);
    g_assert_cmpmem(after, BYTES, area, BYTES);
}

int
main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(struct fixture *fixture, const void *data);
    } tests[] = {{"zeroed", test_zeroed},         {"flipped", test_flipped},
                 {"swapped", test_swapped},       {"older", test_older},
                 {"sound", test_sound},           {"left", test_left},
                 {"one-thing", test_one_thing},   {"newest", test_newest},
                 {"taken-next", test_taken_next}, {"not-alone", test_not_alone}};

    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++)
        for (unsigned held = 0; held < 2; held++) {
            g_autofree char *name =
                g_strdup_printf("/csv/lease-damage/%s-%s", tests[i].name, held ? "held" : "free");
            g_test_add(name, struct fixture, GUINT_TO_POINTER(VERSIONS - 1 - held), set_up,
                       tests[i].run, tear_down);
        }
    return g_test_run();
}
