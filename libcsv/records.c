/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* records.c - what slots hold: nodes, VMs and images to and from their bytes. */

/*
 * The other half of format.h, apart for its length. Each decoder copies the bytes out first, then
 * looks at its own copy only, and applies the same rules that a caller's input has to pass.
 */

#include "format.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#define HEADER sizeof(struct csv_disk_header)

/* A text field on the LUN: terminated, and nothing in it that could disturb a terminal or a log. */
static bool
is_text(const char *text, size_t size)
{
    size_t length = strnlen(text, size);

    if (length == size)
        return false;
    for (size_t i = 0; i < length; i++)
        if (text[i] < ' ' || text[i] > '~')
            return false;
    return true;
}

/* Copies text and zeroes the rest, so that equal records are equal bytes. */
static void
put_text(uint8_t *to, const char *from, size_t size)
{
    memcpy(to, from, strnlen(from, size - 1));
}

const char *
csv_node_problem(const struct csv_node *node, const struct csv_super *super)
{
    if (node->host_id < 1 || node->host_id > super->max_nodes)
        return "host id out of range";
    if (!is_text(node->name, sizeof(node->name)) || !csv_name_is_valid(node->name))
        return "bad node name";
    if (!is_text(node->management, sizeof(node->management)))
        return "bad management address";
    if (!is_text(node->migration, sizeof(node->migration)))
        return "bad migration address";
    if (!is_text(node->cpu_vendor, sizeof(node->cpu_vendor)))
        return "bad CPU vendor";
    if (!is_text(node->version, sizeof(node->version)))
        return "bad version text";
    if (node->cert_bytes > CSV_CERT_MAX)
        return "certificate too long";
    return NULL;
}

uint32_t
csv_node_encode(const struct csv_node *node, void *block)
{
    struct csv_disk_node *disk = (struct csv_disk_node *)((uint8_t *)block + HEADER);

    disk->host_id = htole32(node->host_id);
    disk->port = htole16(node->port);
    disk->cert_bytes = htole16(node->cert_bytes);
    put_text(disk->name, node->name, sizeof(disk->name));
    put_text(disk->management, node->management, sizeof(disk->management));
    put_text(disk->migration, node->migration, sizeof(disk->migration));
    put_text(disk->cpu_vendor, node->cpu_vendor, sizeof(disk->cpu_vendor));
    put_text(disk->version, node->version, sizeof(disk->version));
    disk->memory_bytes = htole64(node->memory_bytes);
    disk->memory_free_bytes = htole64(node->memory_free_bytes);
    disk->heartbeat = htole64(node->heartbeat);
    disk->host_generation = htole64(node->host_generation);
    disk->written_ms = htole64((uint64_t)node->written_ms);
    disk->cpus = htole32(node->cpus);
    disk->flags = htole32(node->flags);
    memcpy(disk->running, node->running, sizeof(disk->running));
    memcpy(disk->cert, node->cert, node->cert_bytes);
    disk->notes_bytes = htole32((uint32_t)strlen(node->notes));
    memcpy((uint8_t *)block + CSV_NODE_NOTES, node->notes, strlen(node->notes));
    return sizeof(*disk);
}

const char *
csv_node_decode(const void *block, const struct csv_head *head, const struct csv_super *super,
                uint32_t slot, struct csv_node *node)
{
    struct csv_disk_node disk;
    const char *notes = (const char *)block + CSV_NODE_NOTES;
    struct csv_node made = {0};
    const char *problem;
    uint32_t notes_bytes;

    if (head->payload_bytes != sizeof(disk))
        return "payload length is not a node's";
    memcpy(&disk, (const uint8_t *)block + HEADER, sizeof(disk));
    made.host_id = le32toh(disk.host_id);
    made.port = le16toh(disk.port);
    made.cert_bytes = le16toh(disk.cert_bytes);
    memcpy(made.name, disk.name, sizeof(made.name));
    memcpy(made.management, disk.management, sizeof(made.management));
    memcpy(made.migration, disk.migration, sizeof(made.migration));
    memcpy(made.cpu_vendor, disk.cpu_vendor, sizeof(made.cpu_vendor));
    memcpy(made.version, disk.version, sizeof(made.version));
    made.memory_bytes = le64toh(disk.memory_bytes);
    made.memory_free_bytes = le64toh(disk.memory_free_bytes);
    made.heartbeat = le64toh(disk.heartbeat);
    made.host_generation = le64toh(disk.host_generation);
    made.written_ms = (int64_t)le64toh(disk.written_ms);
    made.cpus = le32toh(disk.cpus);
    made.flags = le32toh(disk.flags);
    memcpy(made.running, disk.running, sizeof(made.running));
    problem = csv_node_problem(&made, super);
    if (problem)
        return problem;
    if (made.host_id != slot + 1)
        return "host id is another slot's";
    notes_bytes = le32toh(disk.notes_bytes);
    if (notes_bytes > CSV_NODE_NOTES_MAX)
        return "notes too long";
    if (memchr(notes, 0, notes_bytes))
        return "NUL in the notes";
    memcpy(made.notes, notes, notes_bytes);
    memcpy(made.cert, disk.cert, made.cert_bytes);
    *node = made;
    return NULL;
}

const char *
csv_relations_problem(const char *relations, size_t length)
{
    char name[CSV_NAME_MAX + 1];
    size_t at = 0;

    if (length > CSV_RELATIONS_MAX)
        return "relations too long";
    while (at < length) {
        const char *end = memchr(relations + at, ' ', length - at);
        size_t bytes = end ? (size_t)(end - relations) - at : length - at;

        if (!strchr("+->", relations[at]) || relations[at] == 0)
            return "a relation of an unknown kind";
        if (bytes < 2 || bytes > sizeof(name))
            return "a relation to no VM";
        memcpy(name, relations + at + 1, bytes - 1);
        name[bytes - 1] = 0;
        if (strlen(name) != bytes - 1 || !csv_name_is_valid(name))
            return "a relation to no VM";
        at += bytes + (end != NULL);
        if (end && at == length)
            return "a relation to no VM";
    }
    return NULL;
}

uint32_t
csv_vm_encode(const struct csv_vm_record *record, void *block)
{
    const struct csv_vm *vm = &record->vm;
    uint8_t *payload = (uint8_t *)block + HEADER;
    size_t bytes = vm->definition ? strlen(vm->definition) : 0;
    struct csv_disk_vm disk = {
        .wanted = htole32((uint32_t)vm->wanted),
        .priority = htole32(vm->priority),
        .memory_bytes = htole64(vm->memory_bytes),
        .vcpus = htole32(vm->vcpus),
        .last_host_id = htole32(vm->last_host_id),
        .birth = htole64(record->birth),
        .definition_bytes = htole32((uint32_t)bytes),
        .policy =
            htole32((uint32_t)vm->restart | (vm->restarts_on_isolation ? CSV_POLICY_ISOLATION : 0)),
        .prefer_host_id = htole32(vm->prefer_host_id),
        .relations_bytes = htole32((uint32_t)strlen(vm->relations)),
        .move_policy = htole32(vm->move_policy),
    };

    put_text(disk.name, vm->name, sizeof(disk.name));
    csv_uuid_parse(vm->uuid, disk.uuid);
    memcpy(payload, &disk, sizeof(disk));
    if (bytes)
        memcpy(payload + sizeof(disk), vm->definition, bytes);
    memcpy((uint8_t *)block + CSV_VM_RELATIONS, vm->relations, strlen(vm->relations));
    return (uint32_t)(sizeof(disk) + bytes);
}

const char *
csv_vm_decode(const void *block, const struct csv_head *head, const struct csv_super *super,
              uint32_t slot, bool with_definition, struct csv_vm_record *record)
{
    const char *definition = (const char *)block + HEADER + sizeof(struct csv_disk_vm);
    struct csv_disk_vm disk;
    struct csv_vm_record made = {0};
    const char *relations = (const char *)block + CSV_VM_RELATIONS, *problem;
    uint32_t bytes, wanted, policy, related;

    if (head->payload_bytes < sizeof(disk))
        return "payload length is not a VM's";
    memcpy(&disk, (const uint8_t *)block + HEADER, sizeof(disk));
    bytes = le32toh(disk.definition_bytes);
    if (bytes > CSV_DEFINITION_MAX)
        return "definition too long";
    if (bytes != head->payload_bytes - sizeof(disk))
        return "definition length contradicts the payload's";
    if (bytes == 0 && head->is_used)
        return "no definition";
    if (memchr(definition, 0, bytes))
        return "NUL in the definition";
    memcpy(made.vm.name, disk.name, sizeof(made.vm.name));
    if (!is_text(made.vm.name, sizeof(made.vm.name)) || !csv_name_is_valid(made.vm.name))
        return "bad VM name";
    wanted = le32toh(disk.wanted);
    if (wanted != CSV_WANTED_STOPPED && wanted != CSV_WANTED_RUNNING)
        return "wanted state unknown";
    made.vm.slot = slot;
    made.vm.wanted = (enum csv_wanted)wanted;
    made.vm.priority = le32toh(disk.priority);
    if (made.vm.priority > 1000)
        return "priority out of range";
    made.vm.memory_bytes = le64toh(disk.memory_bytes);
    made.vm.vcpus = le32toh(disk.vcpus);
    made.vm.last_host_id = le32toh(disk.last_host_id);
    if (made.vm.last_host_id > super->max_nodes)
        return "last host id out of range";
    policy = le32toh(disk.policy);
    if ((policy & ~CSV_POLICY_KNOWN) || (policy & CSV_POLICY_RESTART) > CSV_RESTART_NEVER)
        return "policy unknown";
    made.vm.restart = (enum csv_restart)(policy & CSV_POLICY_RESTART);
    made.vm.restarts_on_isolation = (policy & CSV_POLICY_ISOLATION) != 0;
    made.vm.prefer_host_id = le32toh(disk.prefer_host_id);
    if (made.vm.prefer_host_id > super->max_nodes)
        return "preferred host id out of range";
    made.vm.move_policy = le32toh(disk.move_policy);
    related = le32toh(disk.relations_bytes);
    problem = csv_relations_problem(relations, related);
    if (problem)
        return problem;
    memcpy(made.vm.relations, relations, related);
    made.birth = le64toh(disk.birth);
    if (made.birth == 0 || made.birth > head->generation)
        return "birth out of range";
    made.vm.generation = head->generation;
    csv_uuid_print(disk.uuid, made.vm.uuid);
    if (with_definition) {
        made.vm.definition = strndup(definition, bytes);
        if (!made.vm.definition)
            return "no memory";
    }
    *record = made;
    return NULL;
}

/* Extents: whole, aligned, within the data region, not over one another, enough for the size. */
static const char *
extents_problem(const struct csv_image *image, const struct csv_super *super)
{
    uint64_t total = 0;

    if (csv_is_directory(super))
        return image->extent_count             ? "extents, and its volume is a directory"
               : image->size_bytes > INT64_MAX ? "image size out of range"
                                               : NULL;
    if (image->extent_count < 1 || image->extent_count > CSV_MAX_EXTENTS)
        return "number of extents out of range";
    for (uint32_t i = 0; i < image->extent_count; i++) {
        const struct csv_extent *a = &image->extents[i];
        if (a->bytes == 0 || a->bytes % super->extent_bytes)
            return "extent of no whole size";
        if (a->offset_bytes < super->data_offset ||
            (a->offset_bytes - super->data_offset) % super->extent_bytes)
            return "extent not aligned";
        if (a->offset_bytes - super->data_offset > super->data_bytes ||
            a->bytes > super->data_bytes - (a->offset_bytes - super->data_offset))
            return "extent beyond the data region";
        for (uint32_t j = 0; j < i; j++) {
            const struct csv_extent *b = &image->extents[j];
            if (a->offset_bytes < b->offset_bytes + b->bytes &&
                b->offset_bytes < a->offset_bytes + a->bytes)
                return "extents overlap within the image";
        }
        total += a->bytes; /* no overflow: they do not overlap within data_bytes */
    }
    return total < image->size_bytes ? "extents do not hold the size" : NULL;
}

const char *
csv_image_problem(const struct csv_image *image, const struct csv_super *super)
{
    if (!is_text(image->name, sizeof(image->name)) || !csv_name_is_valid(image->name))
        return "bad image name";
    if (image->size_bytes == 0 || image->size_bytes % 4096)
        return "image size out of range";
    if (image->flags & ~CSV_IMAGE_SHARED)
        return "unknown image flags";
    return extents_problem(image, super);
}

uint32_t
csv_image_encode(const struct csv_image_record *record, void *block)
{
    const struct csv_image *image = &record->image;
    struct csv_disk_image *disk = (struct csv_disk_image *)((uint8_t *)block + HEADER);

    put_text(disk->name, image->name, sizeof(disk->name));
    csv_uuid_parse(image->uuid, disk->uuid);
    disk->size_bytes = htole64(image->size_bytes);
    disk->flags = htole32(image->flags);
    disk->extent_count = htole32(image->extent_count);
    disk->owner_birth = htole64(record->owner_birth);
    disk->owner_slot = htole32(record->owner_slot);
    for (uint32_t i = 0; i < image->extent_count; i++) {
        disk->extents[i].offset = htole64(image->extents[i].offset_bytes);
        disk->extents[i].bytes = htole64(image->extents[i].bytes);
    }
    return (uint32_t)(offsetof(struct csv_disk_image, extents) +
                      image->extent_count * sizeof(struct csv_disk_extent));
}

size_t
csv_image_bytes(const struct csv_image *image)
{
    return offsetof(struct csv_image, extents) + image->extent_count * sizeof(image->extents[0]);
}

void
csv_image_copy(struct csv_image *to, const struct csv_image *from)
{
    memcpy(to, from, csv_image_bytes(from));
}

void
csv_image_record_copy(struct csv_image_record *to, const struct csv_image_record *from)
{
    to->owner_slot = from->owner_slot;
    to->owner_birth = from->owner_birth;
    csv_image_copy(&to->image, &from->image);
}

size_t
csv_image_record_bytes(const struct csv_image_record *record)
{
    return offsetof(struct csv_image_record, image) + csv_image_bytes(&record->image);
}

const char *
csv_image_decode(const void *block, const struct csv_head *head, const struct csv_super *super,
                 uint32_t slot, struct csv_image_record *record)
{
    const size_t fixed = offsetof(struct csv_disk_image, extents);
    struct csv_disk_image disk;
    struct csv_image_record made;
    struct csv_image *image = &made.image;
    const char *problem;

    /* most images have an extent or two, and there is room for 200: no more than needed is touched
     */
    memcpy(&disk, (const uint8_t *)block + HEADER, fixed);
    memset(image, 0, offsetof(struct csv_image, extents));
    image->extent_count = le32toh(disk.extent_count);
    if (image->extent_count > CSV_MAX_EXTENTS)
        return "number of extents out of range";
    if (head->payload_bytes != fixed + image->extent_count * sizeof(struct csv_disk_extent))
        return "payload length contradicts the number of extents";
    memcpy(disk.extents, (const uint8_t *)block + HEADER + fixed,
           image->extent_count * sizeof(struct csv_disk_extent));
    image->slot = slot;
    memcpy(image->name, disk.name, sizeof(image->name));
    csv_uuid_print(disk.uuid, image->uuid);
    image->size_bytes = le64toh(disk.size_bytes);
    image->flags = le32toh(disk.flags);
    image->generation = head->generation;
    made.owner_birth = le64toh(disk.owner_birth);
    made.owner_slot = le32toh(disk.owner_slot);
    for (uint32_t i = 0; i < image->extent_count; i++) {
        image->extents[i].offset_bytes = le64toh(disk.extents[i].offset);
        image->extents[i].bytes = le64toh(disk.extents[i].bytes);
    }
    problem = csv_image_problem(&made.image, super);
    if (!problem && made.owner_birth && made.owner_slot >= super->max_vms)
        problem = "owner's slot out of range";
    if (problem)
        return problem;
    csv_image_record_copy(record, &made);
    return NULL;
}
