/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vm.c - VM slots: definitions and wanted states. */

/*
 * A VM is its slot, and with the slot comes a lease: VM slot i has lease 2 + i. A VM that is
 * created has a lease in its name before it exists; a VM that is deleted is gone before its lease
 * has lost its name. Either way nobody can run what is not in the catalogue, at worst a lease is
 * left that nobody asks for.
 */

#include "catalog.h"

#include "error.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
csv_vm_clear(struct csv_vm *vm)
{
    free(vm->definition);
    memset(vm, 0, sizeof(*vm));
}

void
csv_vm_list_free(struct csv_vm *vms, size_t count)
{
    for (size_t i = 0; vms && i < count; i++)
        free(vms[i].definition);
    free(vms);
}

int
csv_vm_list(struct csv_volume *volume, bool with_definition, struct csv_vm **vms, size_t *count,
            struct csv_error *error)
{
    struct csv_catalog catalog;
    struct csv_vm *made = NULL;
    int result = csv_catalog_read(
        volume, CSV_READ_VMS | (with_definition ? CSV_READ_DEFINITIONS : CSV_READ_BRIEFLY),
        &catalog, error);

    if (!result) {
        made = calloc(catalog.vm_count + 1, sizeof(*made));
        if (!made)
            result = csv_fail(error, CSV_E_SYS, ENOMEM, "cannot list VMs");
    }
    if (!result) {
        for (size_t i = 0; i < catalog.vm_count; i++) {
            made[i] = catalog.vms[i].vm;
            catalog.vms[i].vm.definition = NULL;
        }
        *vms = made;
        *count = catalog.vm_count;
    }
    csv_catalog_clear(&catalog);
    return result;
}

/* One slot alone. CSV_NOT_FOUND: has no user; with is_settled: or the slot alone does not tell, for
 * who has not read the catalogue. */
static int
read_one(struct csv_volume *volume, uint32_t index, bool is_settled, struct csv_vm_record *record,
         struct csv_error *error)
{
    uint8_t *pair = csv_dev_buffer(CSV_VM_BLOCK * CSV_COPIES);
    struct csv_slot slot;
    int result;

    if (!pair)
        return csv_fail(error, CSV_E_SYS, ENOMEM, "cannot read VM slot %u", index);
    result = csv_slot_read(volume, CSV_KIND_VM, index, pair, &slot, error);
    if (!result && slot.state == CSV_SLOT_DAMAGED)
        result = csv_fail(error, CSV_E_DAMAGED, 0, "VM slot %u is damaged: %s; %s", index,
                          slot.text[0], slot.text[1]);
    else if (!result &&
             (slot.state != CSV_SLOT_USED || (is_settled && csv_slot_is_unsettled(&slot))))
        result = csv_fail(error, CSV_NOT_FOUND, 0, "VM slot %u is free", index);
    else if (!result && csv_vm_decode(csv_slot_block(CSV_KIND_VM, pair, &slot), &slot.head,
                                      &volume->super, index, true, record))
        result = csv_fail(error, CSV_E_SYS, ENOMEM, "cannot read VM slot %u", index);
    free(pair);
    return result;
}

int
csv_vm_find(struct csv_volume *volume, const char *name, struct csv_vm *vm, struct csv_error *error)
{
    struct csv_vm_record record;
    struct csv_vm_record *found;
    struct csv_catalog catalog;
    int64_t slot = csv_catalog_hint(volume, CSV_KIND_VM, name);
    int result;

    /* where it was last time: usually it still is */
    if (slot >= 0 && read_one(volume, (uint32_t)slot, true, &record, NULL) == 0) {
        if (strcmp(record.vm.name, name) == 0) {
            *vm = record.vm;
            return 0;
        }
        csv_vm_clear(&record.vm);
    }
    result = csv_catalog_read(volume, CSV_READ_VMS | CSV_READ_DEFINITIONS, &catalog, error);
    if (!result) {
        found = csv_catalog_vm(&catalog, name);
        if (found) {
            *vm = found->vm;
            found->vm.definition = NULL;
        } else if (catalog.vms_damaged) {
            result = csv_fail(error, CSV_E_DAMAGED, 0, "no VM %s among the readable ones; %s", name,
                              catalog.damage);
        } else {
            result = csv_fail(error, CSV_NOT_FOUND, 0, "no VM %.64s on volume %s", name,
                              volume->super.name);
        }
    }
    csv_catalog_clear(&catalog);
    return result;
}

static int
check_vm(const struct csv_volume *volume, const struct csv_vm *vm, bool needs_definition,
         struct csv_error *error)
{
    uint8_t uuid[CSV_UUID_BYTES];
    size_t length = vm->definition ? strlen(vm->definition) : 0;
    const char *problem;

    if (memchr(vm->name, 0, sizeof(vm->name)) == NULL || !csv_name_is_valid(vm->name))
        return csv_fail(error, CSV_BAD_NAME, 0,
                        "bad VM name: 1 to %d of A-Z a-z 0-9 . _ -, first a letter or digit",
                        CSV_NAME_MAX);
    if (memchr(vm->uuid, 0, sizeof(vm->uuid)) == NULL || !csv_uuid_parse(vm->uuid, uuid))
        return csv_fail(error, CSV_BAD_VALUE, 0, "VM %s: bad uuid", vm->name);
    if (vm->wanted != CSV_WANTED_STOPPED && vm->wanted != CSV_WANTED_RUNNING)
        return csv_fail(error, CSV_BAD_VALUE, 0, "VM %s: unknown wanted state", vm->name);
    if (vm->priority > 1000)
        return csv_fail(error, CSV_BAD_VALUE, 0, "VM %s: priority %u, at most 1000", vm->name,
                        vm->priority);
    if (vm->last_host_id > volume->super.max_nodes)
        return csv_fail(error, CSV_BAD_VALUE, 0, "VM %s: host id %u, at most %u", vm->name,
                        vm->last_host_id, volume->super.max_nodes);
    if (vm->prefer_host_id > volume->super.max_nodes)
        return csv_fail(error, CSV_BAD_VALUE, 0, "VM %s: preferred host id %u, at most %u",
                        vm->name, vm->prefer_host_id, volume->super.max_nodes);
    if ((unsigned)vm->restart > CSV_RESTART_NEVER)
        return csv_fail(error, CSV_BAD_VALUE, 0, "VM %s: unknown restart policy", vm->name);
    if (memchr(vm->relations, 0, sizeof(vm->relations)) == NULL)
        return csv_fail(error, CSV_BAD_VALUE, 0, "VM %s: relations too long", vm->name);
    problem = csv_relations_problem(vm->relations, strlen(vm->relations));
    if (problem)
        return csv_fail(error, CSV_BAD_VALUE, 0, "VM %s: %s", vm->name, problem);
    if (length > CSV_DEFINITION_MAX)
        return csv_fail(error, CSV_BAD_VALUE, 0, "VM %s: definition of %zu bytes, at most %d",
                        vm->name, length, CSV_DEFINITION_MAX);
    if (needs_definition && length == 0)
        return csv_fail(error, CSV_BAD_VALUE, 0, "VM %s: no definition", vm->name);
    return 0;
}

/* Writes record into its slot. */
static int
commit(struct csv_volume *volume, const struct csv_epoch *epoch, uint64_t expected,
       const struct csv_vm_record *record, bool is_used, struct csv_error *error)
{
    struct csv_head head = {.generation = expected + 1, .epoch = *epoch, .is_used = is_used};
    uint8_t *block = csv_dev_buffer(CSV_VM_BLOCK);
    int result;

    if (!block)
        return csv_fail(error, CSV_E_SYS, ENOMEM, "cannot write VM %s", record->vm.name);
    head.payload_bytes = csv_vm_encode(record, block);
    result = csv_slot_commit(volume, CSV_KIND_VM, record->vm.slot, expected, &head, block, error);
    free(block);
    return result;
}

/* Is this VM on the LUN already, word for word? Then creating it is our own retry. */
static bool
is_same(struct csv_volume *volume, const struct csv_vm_record *there, const struct csv_vm *vm)
{
    struct csv_vm_record record;
    uint8_t a[CSV_UUID_BYTES], b[CSV_UUID_BYTES];
    bool same;

    if (!csv_uuid_parse(vm->uuid, a) || !csv_uuid_parse(there->vm.uuid, b) ||
        memcmp(a, b, sizeof(a)) != 0 || strcmp(there->vm.name, vm->name) != 0 ||
        read_one(volume, there->vm.slot, false, &record, NULL) != 0)
        return false;
    same = strcmp(record.vm.definition, vm->definition) == 0;
    csv_vm_clear(&record.vm);
    return same;
}

static int
check_unique(const struct csv_catalog *catalog, const struct csv_vm *vm, struct csv_error *error)
{
    uint8_t uuid[CSV_UUID_BYTES], other[CSV_UUID_BYTES];

    csv_uuid_parse(vm->uuid, uuid);
    for (size_t i = 0; i < catalog->vm_count; i++) {
        const struct csv_vm *there = &catalog->vms[i].vm;
        csv_uuid_parse(there->uuid, other);
        if (strcmp(there->name, vm->name) == 0)
            return csv_fail(error, CSV_EXISTS, 0, "VM %s exists already", vm->name);
        if (memcmp(uuid, other, sizeof(uuid)) == 0)
            return csv_fail(error, CSV_EXISTS, 0, "VM %s has that uuid already", there->name);
    }
    if (catalog->vms_damaged)
        return csv_fail(error, CSV_E_DAMAGED, 0,
                        "cannot tell whether VM %s exists: %s; run csvtool check", vm->name,
                        catalog->damage);
    return 0;
}

int
csv_vm_create(struct csv_volume *volume, const struct csv_epoch *epoch, struct csv_vm *vm,
              struct csv_error *error)
{
    struct csv_vm_record record = {.vm = *vm};
    struct csv_catalog catalog;
    const struct csv_vm_record *there;
    int64_t slot;
    int result = check_vm(volume, vm, true, error);

    if (result)
        return result;
    result = csv_catalog_begin(volume, epoch, &catalog, error);
    if (result)
        goto out;
    there = csv_catalog_vm(&catalog, vm->name);
    if (there && is_same(volume, there, vm)) {
        vm->slot = there->vm.slot;
        vm->generation = there->vm.generation;
        goto out;
    }
    result = check_unique(&catalog, vm, error);
    if (result)
        goto out;
    slot = csv_catalog_free_slot(&catalog, CSV_KIND_VM);
    if (slot < 0) {
        result = csv_fail(error, CSV_NO_SLOT, 0, "volume %s has all of its %u VMs",
                          volume->super.name, volume->super.max_vms);
        goto out;
    }
    record.vm.slot = (uint32_t)slot;
    record.birth = catalog.vm_briefs[slot].generation + 1;
    result = csv_lease_reset(volume, record.vm.slot, vm->name, error);
    if (!result)
        result = commit(volume, epoch, record.birth - 1, &record, true, error);
    if (!result) {
        vm->slot = record.vm.slot;
        vm->generation = record.birth;
    }
out:
    csv_catalog_end(volume, &catalog);
    return result;
}

int
csv_vm_update(struct csv_volume *volume, const struct csv_epoch *epoch, const struct csv_vm *vm,
              struct csv_error *error)
{
    struct csv_vm_record old = {0}, record;
    struct csv_catalog catalog;
    uint8_t a[CSV_UUID_BYTES], b[CSV_UUID_BYTES];
    int result = check_vm(volume, vm, false, error);

    if (result)
        return result;
    if (vm->slot >= volume->super.max_vms)
        return csv_fail(error, CSV_BAD_VALUE, 0, "VM %s: slot %u, at most %u", vm->name, vm->slot,
                        volume->super.max_vms - 1);
    result = csv_catalog_begin(volume, epoch, &catalog, error);
    if (!result)
        result = read_one(volume, vm->slot, false, &old, error);
    if (!result) {
        csv_uuid_parse(vm->uuid, a);
        csv_uuid_parse(old.vm.uuid, b);
        if (strcmp(old.vm.name, vm->name) != 0 || memcmp(a, b, sizeof(a)) != 0)
            result = csv_fail(error, CSV_NOT_FOUND, 0, "VM %s is no longer in slot %u", vm->name,
                              vm->slot);
    }
    if (!result) {
        record = (struct csv_vm_record){.vm = *vm, .birth = old.birth};
        if (!vm->definition || !vm->definition[0])
            record.vm.definition = old.vm.definition;
        result = commit(volume, epoch, old.vm.generation, &record, true, error);
    }
    csv_vm_clear(&old.vm);
    csv_catalog_end(volume, &catalog);
    return result;
}

static int
reset_lease(struct csv_volume *volume, uint32_t slot, struct csv_error *error)
{
    char free_name[CSV_NAME_MAX + 1];

    csv_lease_free_name(slot, free_name);
    return csv_lease_reset(volume, slot, free_name, error);
}

static int
delete_vm(struct csv_volume *volume, const struct csv_epoch *epoch, const char *name, bool is_held,
          struct csv_error *error)
{
    struct csv_catalog catalog;
    struct csv_vm_record *found;
    char slot_text[16];
    int result = csv_catalog_begin(volume, epoch, &catalog, error);

    if (result)
        goto out;
    found = csv_catalog_vm(&catalog, name);
    if (!found && csv_catalog_was_unsure(volume, CSV_UNSURE_VM_DELETE, name)) {
        /* gone by our own earlier try; what is left of it is the lease */
        uint32_t slot = (uint32_t)strtoul(volume->unsure.uuid, NULL, 10);
        if (!is_held && catalog.vm_briefs[slot].state == CSV_SLOT_FREED)
            result = reset_lease(volume, slot, error);
        if (!result)
            result = csv_catalog_settle(volume, error);
        goto out;
    }
    if (!found) {
        result =
            csv_fail(error, CSV_NOT_FOUND, 0, "no VM %.64s on volume %s", name, volume->super.name);
        goto out;
    }
    found->vm.relations[0] = 0;
    result = commit(volume, epoch, found->vm.generation, found, false, error);
    if (!result && !is_held)
        result = reset_lease(volume, found->vm.slot, error);
    snprintf(slot_text, sizeof(slot_text), "%u", found->vm.slot);
    csv_catalog_unsure(volume, CSV_UNSURE_VM_DELETE, name, slot_text, result);
out:
    csv_catalog_end(volume, &catalog);
    return result;
}

int
csv_vm_delete(struct csv_volume *volume, const struct csv_epoch *epoch, const char *name,
              struct csv_error *error)
{
    return delete_vm(volume, epoch, name, false, error);
}

int
csv_vm_delete_held(struct csv_volume *volume, const struct csv_epoch *epoch, const char *name,
                   struct csv_error *error)
{
    return delete_vm(volume, epoch, name, true, error);
}
