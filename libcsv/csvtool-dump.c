/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* csvtool-dump.c - a volume as JSON, for people and tests. */

/*
 * Written without a JSON library, since csvtool shall work where nothing but this library does.
 * Names and addresses were checked by the decoders; a definition may hold any bytes but NUL, so
 * strings are escaped, and a byte that is no UTF-8 text comes out as U+FFFD.
 */

#include "csvtool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Length of the UTF-8 sequence at text, 0 if it is none. */
static int
utf8_length(const unsigned char *text)
{
    int length = text[0] < 0x80                       ? 1
                 : text[0] >= 0xc2 && text[0] <= 0xdf ? 2
                 : (text[0] & 0xf0) == 0xe0           ? 3
                 : text[0] >= 0xf0 && text[0] <= 0xf4 ? 4
                                                      : 0;

    for (int i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    if ((text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xed && text[1] > 0x9f) ||
        (text[0] == 0xf0 && text[1] < 0x90) || (text[0] == 0xf4 && text[1] > 0x8f))
        return 0;
    return length;
}

static void
put_string(const char *text)
{
    const unsigned char *at = (const unsigned char *)text;

    putchar('"');
    while (*at) {
        int length = utf8_length(at);
        if (*at == '"' || *at == '\\') {
            putchar('\\');
            putchar(*at++);
        } else if (*at < ' ' || *at == 127) {
            printf("\\u%04x", *at++);
        } else if (length == 0) {
            fputs("\\ufffd", stdout);
            at++;
        } else {
            fwrite(at, 1, (size_t)length, stdout);
            at += length;
        }
    }
    putchar('"');
}

static const char *separator = "";

static void
key(const char *name)
{
    printf("%s", separator);
    put_string(name);
    printf(": ");
    separator = ", ";
}

static void
put_text(const char *name, const char *text)
{
    key(name);
    put_string(text);
}

static void
put_number(const char *name, uint64_t number)
{
    key(name);
    printf("%llu", (unsigned long long)number);
}

static void
put_bool(const char *name, bool value)
{
    key(name);
    printf("%s", value ? "true" : "false");
}

static void
open_object(const char *indent)
{
    printf("%s%s{", separator[0] ? ",\n" : "\n", indent);
    separator = "";
}

static void
dump_info(const struct csv_info *info)
{
    put_text("name", info->name);
    put_text("uuid", info->uuid);
    put_number("version", info->version);
    put_number("sector_bytes", info->sector_bytes);
    put_number("io_timeout_s", info->io_timeout_s);
    put_number("max_nodes", info->max_nodes);
    put_number("max_vms", info->max_vms);
    put_number("max_images", info->max_images);
    put_number("extent_bytes", info->extent_bytes);
    put_number("size_bytes", info->size_bytes);
    put_number("device_bytes", info->device_bytes);
    put_number("data_offset_bytes", info->data_offset_bytes);
    put_number("data_bytes", info->data_bytes);
    put_number("feature_compat", info->feature_compat);
    put_number("feature_ro_compat", info->feature_ro_compat);
    put_number("feature_incompat", info->feature_incompat);
}

static void
dump_lease(struct csv_volume *volume, enum csv_lease_kind kind, uint32_t index)
{
    struct csv_lease_owner owner;
    struct csv_error error;
    int result = csv_lease_read(volume, kind, index, &owner, &error);

    key("lease");
    printf("{");
    separator = "";
    if (result) {
        put_text("problem", error.text);
    } else {
        put_text("resource", owner.resource);
        put_number("host_id", owner.host_id);
        put_number("host_generation", owner.host_generation);
        put_number("lver", owner.lver);
    }
    printf("}");
    separator = ", ";
}

static void
dump_node(const struct csv_node *node)
{
    open_object("    ");
    put_number("host_id", node->host_id);
    put_text("name", node->name);
    put_text("management", node->management);
    put_number("port", node->port);
    put_text("migration", node->migration);
    put_text("cpu_vendor", node->cpu_vendor);
    put_text("version", node->version);
    put_number("memory_bytes", node->memory_bytes);
    put_number("memory_free_bytes", node->memory_free_bytes);
    put_number("cpus", node->cpus);
    put_bool("draining", (node->flags & CSV_NODE_DRAINING) != 0);
    put_bool("watchdog", (node->flags & CSV_NODE_WATCHDOG) != 0);
    put_bool("left", (node->flags & CSV_NODE_LEFT) != 0);
    put_bool("encrypts", (node->flags & CSV_NODE_ENCRYPTS) != 0);
    put_bool("passive", (node->flags & CSV_NODE_PASSIVE) != 0);
    put_number("heartbeat", node->heartbeat);
    put_number("host_generation", node->host_generation);
    key("written_ms");
    printf("%lld", (long long)node->written_ms);
    put_number("cert_bytes", node->cert_bytes);
    put_number("notes_bytes", strlen(node->notes));
    key("running_slots");
    printf("[");
    separator = "";
    for (unsigned i = 0; i < CSV_MAX_VMS; i++)
        if (node->running[i / 8] & (1u << (i % 8))) {
            printf("%s%u", separator, i);
            separator = ", ";
        }
    printf("]}");
    separator = ", ";
}

static void
dump_vm(struct csv_volume *volume, const struct csv_vm *vm)
{
    open_object("    ");
    put_number("slot", vm->slot);
    put_text("name", vm->name);
    put_text("uuid", vm->uuid);
    put_text("wanted", vm->wanted == CSV_WANTED_RUNNING ? "running" : "stopped");
    put_number("priority", vm->priority);
    put_number("memory_bytes", vm->memory_bytes);
    put_number("vcpus", vm->vcpus);
    put_number("generation", vm->generation);
    put_number("last_host_id", vm->last_host_id);
    put_text("restart", vm->restart == CSV_RESTART_ALWAYS  ? "always"
                        : vm->restart == CSV_RESTART_NEVER ? "never"
                                                           : "on-node-death");
    put_bool("restarts_on_isolation", vm->restarts_on_isolation);
    put_number("prefer_host_id", vm->prefer_host_id);
    put_number("move_policy", vm->move_policy);
    put_text("relations", vm->relations);
    dump_lease(volume, CSV_LEASE_VM, vm->slot);
    put_text("definition", vm->definition ? vm->definition : "");
    printf("}");
    separator = ", ";
}

static void
dump_image(const struct csv_image *image)
{
    open_object("    ");
    put_number("slot", image->slot);
    put_text("name", image->name);
    put_text("uuid", image->uuid);
    put_number("size_bytes", image->size_bytes);
    put_text("owner", image->owner);
    put_bool("shared", (image->flags & CSV_IMAGE_SHARED) != 0);
    put_number("generation", image->generation);
    key("extents");
    printf("[");
    separator = "";
    for (uint32_t i = 0; i < image->extent_count; i++) {
        printf("%s{", separator);
        separator = "";
        put_number("offset_bytes", image->extents[i].offset_bytes);
        put_number("bytes", image->extents[i].bytes);
        printf("}");
        separator = ", ";
    }
    printf("]}");
    separator = ", ";
}

static void
open_list(const char *name)
{
    printf(",\n  \"%s\": [", name);
    separator = "";
}

int
csvtool_dump(struct csv_volume *volume, struct csv_error *error)
{
    struct csv_node *nodes = NULL;
    struct csv_vm *vms = NULL;
    struct csv_image **images = NULL;
    size_t node_count = 0, damaged = 0, vm_count = 0, image_count = 0;
    int result = csv_node_list(volume, &nodes, &node_count, &damaged, error);

    if (!result)
        result = csv_vm_list(volume, true, &vms, &vm_count, error);
    if (!result)
        result = csv_image_list(volume, &images, &image_count, error);
    if (!result) {
        printf("{\n  \"volume\": {");
        separator = "";
        dump_info(csv_volume_info(volume));
        printf("},\n  \"coordinator\": {");
        separator = "";
        dump_lease(volume, CSV_LEASE_COORDINATOR, 0);
        printf("},\n  \"registry\": {");
        separator = "";
        dump_lease(volume, CSV_LEASE_REGISTRY, 0);
        printf("},\n  \"damaged_nodes\": %zu", damaged);
        open_list("nodes");
        for (size_t i = 0; i < node_count; i++)
            dump_node(&nodes[i]);
        printf("]");
        open_list("vms");
        for (size_t i = 0; i < vm_count; i++)
            dump_vm(volume, &vms[i]);
        printf("]");
        open_list("images");
        for (size_t i = 0; i < image_count; i++)
            dump_image(images[i]);
        printf("]\n}\n");
    }
    free(nodes);
    csv_vm_list_free(vms, vm_count);
    free(images);
    return result;
}
