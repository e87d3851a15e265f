/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check.c - reading a whole volume for what is wrong with it. */

/*
 * Errors are what the library itself would refuse or get wrong; the rest is worth knowing: a torn
 * copy is what an interrupted write leaves, and the other copy counts.
 */

#include "catalog.h"

#include "error.h"
#include "files.h"
#include "late.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct check {
    struct csv_volume *volume;
    void (*report)(const struct csv_finding *finding, void *data);
    void *data;
    enum csv_kind kind; /* of the walk that is under way */
};

__attribute__((format(printf, 4, 5))) static void
found(struct check *check, const char *code, bool is_error, const char *format, ...)
{
    struct csv_finding finding = {.code = code, .is_error = is_error};
    va_list args;

    va_start(args, format);
    vsnprintf(finding.text, sizeof(finding.text), format, args);
    va_end(args);
    check->report(&finding, check->data);
}

/* A growth that did not come to its end, or a first superblock from before it. */
static void
check_end(struct check *check)
{
    struct csv_dev *dev = check->volume->dev;
    const struct csv_super *ours = &check->volume->super;
    uint64_t end = dev->size_bytes / CSV_MIB * CSV_MIB - CSV_MIB;
    struct csv_super other;

    if (end > ours->tail_offset && csv_super_read_copy(dev, end, &other, NULL) == CSV_BLOCK_OK &&
        memcmp(other.uuid, ours->uuid, sizeof(other.uuid)) == 0 &&
        other.generation > ours->generation)
        found(check, "superblock-older", false,
              "the first superblock is older than the one at the end of the LUN, which is of %llu "
              "MiB: "
              "a growth was cut short",
              (unsigned long long)(other.size_bytes / CSV_MIB));
}

static void
check_supers(struct check *check)
{
    const struct csv_super *ours = &check->volume->super;
    struct csv_super copies[CSV_COPIES];
    const char *text;
    bool is_sound[CSV_COPIES];

    for (int i = 0; i < CSV_COPIES; i++) {
        int result =
            csv_super_read_copy(check->volume->dev, i ? ours->tail_offset : 0, &copies[i], &text);
        is_sound[i] = result == CSV_BLOCK_OK;
        if (!is_sound[i])
            found(check, "superblock-copy", true, "%s superblock: %s", i ? "second" : "first",
                  text);
    }
    if (is_sound[0] && is_sound[1] && memcmp(&copies[0], &copies[1], sizeof(copies[0])) != 0)
        found(check, "superblock-differs", true, "the two superblocks contradict each other");
    check_end(check);
    if (check->volume->dev->size_bytes >= ours->size_bytes + CSV_MIB)
        found(check, "lun-larger", false, "the LUN is %llu MiB larger than the volume",
              (unsigned long long)((check->volume->dev->size_bytes - ours->size_bytes) / CSV_MIB));
}

/* Copies that say they belong elsewhere were written by somebody else's mistake, not torn. */
static bool
is_wrong_place(enum csv_block result)
{
    return result == CSV_BLOCK_FOREIGN || result == CSV_BLOCK_MISPLACED ||
           result == CSV_BLOCK_OTHER_KIND || result == CSV_BLOCK_GARBAGE;
}

static int
check_slot(uint32_t index, const void *buffer, const struct csv_slot *slot, void *data)
{
    struct check *check = data;
    const char *kind = csv_kind_name(check->kind);
    uint32_t number = csv_slot_number(check->kind, index);

    (void)buffer;
    if (slot->state == CSV_SLOT_DAMAGED) {
        found(check, "slot-damaged", true, "%s %u: no usable copy: %s; %s", kind, number,
              slot->text[0], slot->text[1]);
        return 0;
    }
    if (slot->is_stale)
        found(check, "copy-stale", false, "%s %u, copy %d: older than the other copy, which counts",
              kind, number, 1 - slot->winner);
    for (int i = 0; i < CSV_COPIES; i++) {
        if (slot->copy[i] == CSV_BLOCK_OK || (slot->copy[i] == CSV_BLOCK_BLANK && slot->winner < 0))
            continue;
        if (is_wrong_place(slot->copy[i]))
            found(check, "copy-misplaced", true, "%s %u, copy %d: %s", kind, number, i,
                  slot->text[i]);
        else
            found(check, "copy-torn", false, "%s %u, copy %d: %s; the other copy counts", kind,
                  number, i, slot->text[i]);
    }
    return 0;
}

static void
check_names(struct check *check, const struct csv_catalog *catalog)
{
    for (size_t i = 0; i < catalog->vm_count; i++)
        for (size_t j = 0; j < i; j++) {
            const struct csv_vm *a = &catalog->vms[j].vm, *b = &catalog->vms[i].vm;
            if (strcmp(a->name, b->name) == 0)
                found(check, "vm-name-twice", true, "VM slots %u and %u are both named %s", a->slot,
                      b->slot, a->name);
            if (strcmp(a->uuid, b->uuid) == 0)
                found(check, "vm-uuid-twice", true, "VMs %s and %s have the same uuid", a->name,
                      b->name);
        }
    for (size_t i = 0; i < catalog->image_count; i++)
        for (size_t j = 0; j < i; j++) {
            const struct csv_image *a = &catalog->images[j]->image;
            const struct csv_image *b = &catalog->images[i]->image;
            if (strcmp(a->name, b->name) == 0)
                found(check, "image-name-twice", true, "image slots %u and %u are both named %s",
                      a->slot, b->slot, a->name);
            if (strcmp(a->uuid, b->uuid) == 0)
                found(check, "image-uuid-twice", true, "images %s and %s have the same uuid",
                      a->name, b->name);
        }
}

static void
check_late(struct check *check, const struct csv_catalog *catalog)
{
    for (const struct csv_unsettled *one = catalog->unsettled; one; one = one->next)
        if (one->is_late)
            found(
                check, "late-write", false,
                "%s %u, copy %d: a write of host %u that came after its time, and does not count; "
                "the next change of the catalogue removes it",
                csv_kind_name(one->kind), one->index, one->slot.winner,
                one->slot.head.epoch.host_id);
}

struct claim {
    struct csv_extent extent;
    const char *image;
};

static int
by_offset(const void *a, const void *b)
{
    const struct claim *x = a, *y = b;

    return x->extent.offset_bytes < y->extent.offset_bytes
               ? -1
               : x->extent.offset_bytes > y->extent.offset_bytes;
}

static int
check_overlap(struct check *check, const struct csv_catalog *catalog, struct csv_error *error)
{
    struct claim *claims;
    size_t count = 0, room = 1;
    const struct claim *farthest = NULL;

    for (size_t i = 0; i < catalog->image_count; i++)
        room += catalog->images[i]->image.extent_count;
    claims = calloc(room, sizeof(*claims));
    if (!claims)
        return csv_fail(error, CSV_E_SYS, ENOMEM, "cannot check extents");
    for (size_t i = 0; i < catalog->image_count; i++)
        for (uint32_t j = 0; j < catalog->images[i]->image.extent_count; j++) {
            claims[count].extent = catalog->images[i]->image.extents[j];
            claims[count++].image = catalog->images[i]->image.name;
        }
    qsort(claims, count, sizeof(*claims), by_offset);
    for (size_t i = 0; i < count; i++) {
        uint64_t end = claims[i].extent.offset_bytes + claims[i].extent.bytes;
        if (farthest &&
            claims[i].extent.offset_bytes < farthest->extent.offset_bytes + farthest->extent.bytes)
            found(check, "image-overlap", true, "images %s and %s both claim the space at %llu",
                  farthest->image, claims[i].image,
                  (unsigned long long)claims[i].extent.offset_bytes);
        if (!farthest || end > farthest->extent.offset_bytes + farthest->extent.bytes)
            farthest = &claims[i];
    }
    free(claims);
    return 0;
}

struct files {
    struct check *check;
    const struct csv_catalog *catalog;
};

static void
check_file(const char *uuid, bool is_unfinished, uint64_t bytes, void *data)
{
    const struct files *files = data;
    unsigned long long mib = bytes / CSV_MIB;

    if (is_unfinished) {
        found(files->check, "file-unfinished", false,
              "file %s.new of %llu MiB: an image is being made, or its making was cut short; the "
              "next one made removes it",
              uuid, mib);
        return;
    }
    for (size_t i = 0; i < files->catalog->image_count; i++)
        if (strcmp(files->catalog->images[i]->image.uuid, uuid) == 0)
            return;
    found(files->check, "file-left", false,
          "file %s.img of %llu MiB is no image's: a crash left it, the catalogue is a restored "
          "one, or the image was made just now; if another check says the same, and nobody needs "
          "what is in it, it can be removed",
          uuid, mib);
}

/* An image is as good as its file; a file without an image is lost space. */
static int
check_files(struct check *check, const struct csv_catalog *catalog, struct csv_error *error)
{
    struct files files = {.check = check, .catalog = catalog};
    struct csv_volume *volume = check->volume;
    struct csv_error problem;
    struct stat st;
    int fd, result;

    if (!csv_is_directory(&volume->super))
        return 0;
    for (size_t i = 0; i < catalog->image_count; i++) {
        const struct csv_image *image = &catalog->images[i]->image;
        if (csv_files_open(volume, image, false, &fd, &problem)) {
            found(check, "image-file", true, "%s", problem.text);
            continue;
        }
        if (fstat(fd, &st) == 0 && (uint64_t)st.st_size > image->size_bytes)
            found(
                check, "file-longer", false,
                "the file of image %s is %llu bytes longer than the image: a growth was cut short",
                image->name, (unsigned long long)st.st_size - image->size_bytes);
        close(fd);
    }
    if (catalog->images_damaged) /* whose images have files, too */
        return 0;
    result = csv_files_walk(volume->dev, check_file, &files);
    return result ? csv_fail(error, CSV_E_IO, -result, "cannot read the directory") : 0;
}

static void
check_owners(struct check *check, const struct csv_catalog *catalog)
{
    for (size_t i = 0; i < catalog->image_count; i++)
        if (catalog->images[i]->owner_birth && !csv_catalog_owner(catalog, catalog->images[i]) &&
            csv_catalog_owner_known(catalog, catalog->images[i], NULL) == 0)
            found(check, "owner-gone", false,
                  "image %s belonged to a VM that was deleted, and counts as free",
                  catalog->images[i]->image.name);
}

static void
check_fixed_lease(struct check *check, enum csv_lease_kind kind, uint64_t lver)
{
    struct csv_lease_owner owner;
    struct csv_lease lease;
    struct csv_error error;
    const char *what = kind == CSV_LEASE_COORDINATOR ? "coordinator" : "registry";

    if (csv_lease_locate(check->volume, kind, 0, &lease, &error) != 0 ||
        csv_lease_check(check->volume, kind, 0, &owner, &error) != 0)
        found(check, "lease-damaged", true, "%s lease: %s", what, error.text);
    else if (strcmp(owner.resource, lease.resource) != 0)
        found(check, "lease-name", true, "the %s lease is named %.47s", what, owner.resource);
    else if (owner.lver < lver)
        found(check, "lease-behind", false,
              "the %s lease was taken %llu times, the newest change says %llu", what,
              (unsigned long long)owner.lver, (unsigned long long)lver);
    else if (owner.doubt)
        found(check, "lease-doubt", false, "the %s lease, taken %llu times: %s", what,
              (unsigned long long)owner.lver, owner.doubt);
}

int
csv_host_judge(struct csv_volume *volume, uint32_t host_id, struct csv_host_judgement *host,
               struct csv_error *error)
{
    struct csv_host_lease lease = {.is_free = true};
    struct csv_node node = {0};
    int result;

    memset(host, 0, sizeof(*host));
    /* the slot first: who joins meanwhile counts its lease on before it writes there */
    result = csv_node_read(volume, host_id, &node, error);
    if (result && result != CSV_E_DAMAGED && result != CSV_NOT_FOUND)
        return result;
    host->is_unknown = result == CSV_E_DAMAGED;
    host->slot_generation = result ? 0 : node.host_generation;
    result = csv_lockspace_read(volume, host_id, &lease, &host->why);
    if (result && result != CSV_E_DAMAGED && result != CSV_NOT_FOUND) {
        if (error)
            *error = host->why;
        return result;
    }
    host->is_damaged = result == CSV_E_DAMAGED;
    host->lease_generation = lease.host_generation;
    host->is_behind =
        !host->is_damaged && lease.is_free && lease.host_generation < host->slot_generation;
    return 0;
}

/* Without its host lease a node cannot attach the volume. */
static void
check_lockspace(struct check *check)
{
    struct csv_volume *volume = check->volume;
    struct csv_host_judgement host;
    struct csv_error error;

    for (uint32_t host_id = 1; host_id <= volume->super.max_nodes; host_id++) {
        if (csv_host_judge(volume, host_id, &host, &error) != 0) /* it cannot be read */
            found(check, "host-lease-damaged", true, "host id %u: %s", host_id, error.text);
        else if (host.is_damaged)
            found(check, "host-lease-damaged", true, "host id %u: %s", host_id, host.why.text);
        else if (host.is_behind)
            found(check, "lease-behind", false,
                  "the lease of host id %u was taken %llu times, its node slot says %llu", host_id,
                  (unsigned long long)host.lease_generation,
                  (unsigned long long)host.slot_generation);
    }
}

/* Each VM needs its lease, in its name; each deleted one must have lost it. */
static void
check_leases(struct check *check, const struct csv_catalog *catalog)
{
    struct csv_volume *volume = check->volume;
    struct csv_lease_owner owner;
    struct csv_error error;

    if (!volume->dev->path)
        return;
    check_lockspace(check);
    check_fixed_lease(check, CSV_LEASE_COORDINATOR, catalog->epoch.lver);
    check_fixed_lease(check, CSV_LEASE_REGISTRY, 0);
    for (size_t i = 0; i < catalog->vm_count; i++) {
        const struct csv_vm *vm = &catalog->vms[i].vm;
        if (csv_lease_check(volume, CSV_LEASE_VM, vm->slot, &owner, &error) != 0)
            found(check, "lease-damaged", true, "VM %s: %s", vm->name, error.text);
        else if (strcmp(owner.resource, vm->name) != 0)
            found(check, "lease-name", true, "the lease of VM %s is named %.47s", vm->name,
                  owner.resource);
        else if (owner.doubt)
            found(check, "lease-doubt", false, "the lease of VM %s, taken %llu times: %s", vm->name,
                  (unsigned long long)owner.lver, owner.doubt);
    }
    for (uint32_t slot = 0; slot < volume->super.max_vms; slot++)
        if (catalog->vm_briefs[slot].state == CSV_SLOT_FREED &&
            csv_lease_read(volume, CSV_LEASE_VM, slot, &owner, NULL) == 0 &&
            owner.resource[0] != '.')
            found(check, "lease-left", false, "VM %.47s was deleted, its lease is still there",
                  owner.resource);
}

int
csv_check_contents(const struct csv_catalog *catalog,
                   void (*report)(const struct csv_finding *finding, void *data), void *data,
                   struct csv_error *error)
{
    struct check check = {.report = report, .data = data};

    check_names(&check, catalog);
    return check_overlap(&check, catalog, error);
}

int
csv_check_once(struct csv_volume *volume,
               void (*report)(const struct csv_finding *finding, void *data), void *data,
               struct csv_error *error)
{
    static const enum csv_kind kinds[] = {CSV_KIND_NODE, CSV_KIND_VM, CSV_KIND_IMAGE};
    struct check check = {.volume = volume, .report = report, .data = data};
    struct csv_catalog catalog;
    int result = 0;

    check_supers(&check);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && !result; i++) {
        check.kind = kinds[i];
        result = csv_slot_walk(volume, kinds[i], check_slot, &check, error);
    }
    if (result)
        return result;
    result = csv_catalog_read(volume, CSV_READ_ALL, &catalog, error);
    if (!result) {
        check_late(&check, &catalog);
        check_names(&check, &catalog);
        result = check_overlap(&check, &catalog, error);
        if (!result)
            result = check_files(&check, &catalog, error);
        check_owners(&check, &catalog);
        check_leases(&check, &catalog);
    }
    csv_catalog_clear(&catalog);
    return result;
}
