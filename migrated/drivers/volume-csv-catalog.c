/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* volume-csv-catalog.c - VMs, images and image devices. */
#include "drivers/volume-csv-private.h"

#include "base/error.h"

#include <stdlib.h>

G_STATIC_ASSERT((int)MIG_RESTART_ON_NODE_DEATH == (int)CSV_RESTART_ON_NODE_DEATH);
G_STATIC_ASSERT((int)MIG_RESTART_ALWAYS == (int)CSV_RESTART_ALWAYS);
G_STATIC_ASSERT((int)MIG_RESTART_NEVER == (int)CSV_RESTART_NEVER);

/* ---- VMs ---- */

/* The names behind this sign; NULL: none. */
static char **
related(const char *relations, char sign)
{
    g_autoptr(GStrvBuilder) names = g_strv_builder_new();
    g_auto(GStrv) words = g_strsplit(relations, " ", -1);
    gboolean has_any = FALSE;

    for (guint i = 0; words[i]; i++) {
        if (words[i][0] != sign)
            continue;
        g_strv_builder_add(names, words[i] + 1);
        has_any = TRUE;
    }
    return has_any ? g_strv_builder_end(names) : NULL;
}

static void
add_related(GString *relations, char sign, char **names)
{
    for (guint i = 0; names && names[i]; i++)
        g_string_append_printf(relations, "%s%c%s", relations->len ? " " : "", sign, names[i]);
}

static MigVm *
vm_from(MigCsv *csv, const struct csv_vm *from)
{
    MigVm *vm = g_new0(MigVm, 1);

    vm->volume = g_strdup(csv->info->name);
    vm->slot = from->slot;
    vm->name = g_strdup(from->name);
    vm->uuid = g_strdup(from->uuid);
    vm->wants_running = from->wanted == CSV_WANTED_RUNNING;
    vm->priority = from->priority;
    vm->memory_bytes = from->memory_bytes;
    vm->vcpus = from->vcpus;
    vm->last_host_id = from->last_host_id;
    vm->restart = (MigRestart)from->restart;
    vm->restarts_on_isolation = from->restarts_on_isolation;
    vm->prefer_host_id = from->prefer_host_id;
    vm->move_policy = from->move_policy;
    vm->affinity = related(from->relations, '+');
    vm->anti_affinity = related(from->relations, '-');
    vm->start_after = related(from->relations, '>');
    vm->definition = g_strdup(from->definition);
    return vm;
}

/* Borrows vm's strings. */
static gboolean
vm_to(const MigVm *vm, struct csv_vm *result, GError **error)
{
    g_autoptr(GString) relations = g_string_new(NULL);
    struct csv_vm to = {.slot = vm->slot,
                        .wanted = vm->wants_running ? CSV_WANTED_RUNNING : CSV_WANTED_STOPPED,
                        .priority = vm->priority,
                        .memory_bytes = vm->memory_bytes,
                        .vcpus = vm->vcpus,
                        .last_host_id = vm->last_host_id,
                        .restart = (enum csv_restart)vm->restart,
                        .restarts_on_isolation = vm->restarts_on_isolation,
                        .prefer_host_id = vm->prefer_host_id,
                        .move_policy = vm->move_policy,
                        .definition = vm->definition};

    g_strlcpy(to.name, vm->name, sizeof to.name);
    g_strlcpy(to.uuid, vm->uuid, sizeof to.uuid);
    add_related(relations, '+', vm->affinity);
    add_related(relations, '-', vm->anti_affinity);
    add_related(relations, '>', vm->start_after);
    if (relations->len > CSV_RELATIONS_MAX) {
        g_set_error(
            error, MIG_ERROR, MIG_ERROR_BAD_VALUE,
            "the names of the VMs that %s is to be with, apart from and behind are too long "
            "together: at most %d bytes; name fewer of them",
            vm->name, CSV_RELATIONS_MAX);
        return FALSE;
    }
    g_strlcpy(to.relations, relations->str, sizeof to.relations);
    *result = to;
    return TRUE;
}

GPtrArray *
mig_csv_vms(MigCsv *csv, GError **error)
{
    struct csv_vm *from = NULL;
    size_t count = 0;
    struct csv_error reason = {0};

    if (!mig_csv_ok(csv_vm_list(csv->volume, FALSE, &from, &count, &reason), &reason,
                    MIG_ERROR_FAILED, error))
        return NULL;
    GPtrArray *vms = g_ptr_array_new_with_free_func((GDestroyNotify)mig_vm_free);

    for (size_t i = 0; i < count; i++)
        g_ptr_array_add(vms, vm_from(csv, &from[i]));
    csv_vm_list_free(from, count);
    return vms;
}

MigVm *
mig_csv_vm(MigCsv *csv, const char *name, GError **error)
{
    struct csv_vm from = {0};
    struct csv_error reason = {0};

    if (!mig_csv_ok(csv_vm_find(csv->volume, name, &from, &reason), &reason, MIG_ERROR_VM_UNKNOWN,
                    error))
        return NULL;
    MigVm *vm = vm_from(csv, &from);

    csv_vm_clear(&from);
    return vm;
}

gboolean
mig_csv_vm_create(MigCsv *csv, const MigEpoch *epoch, MigVm *vm, GError **error)
{
    struct csv_epoch as = mig_csv_epoch(epoch);
    struct csv_vm to;
    struct csv_error reason = {0};

    if (!csv_name_is_valid(vm->name)) {
        g_set_error(
            error, MIG_ERROR, MIG_ERROR_BAD_NAME,
            "VM name is not valid: 1 to %d letters, digits, '.', '_' or '-', the first one a "
            "letter or a digit",
            CSV_NAME_MAX);
        return FALSE;
    }
    if (!vm_to(vm, &to, error) || !mig_csv_ok(csv_vm_create(csv->volume, &as, &to, &reason),
                                              &reason, MIG_ERROR_VM_UNKNOWN, error))
        return FALSE;
    vm->slot = to.slot;
    return TRUE;
}

gboolean
mig_csv_vm_update(MigCsv *csv, const MigEpoch *epoch, const MigVm *vm, GError **error)
{
    struct csv_epoch as = mig_csv_epoch(epoch);
    struct csv_vm to;
    struct csv_error reason = {0};

    return vm_to(vm, &to, error) && mig_csv_ok(csv_vm_update(csv->volume, &as, &to, &reason),
                                               &reason, MIG_ERROR_VM_UNKNOWN, error);
}

gboolean
mig_csv_vm_delete(MigCsv *csv, const MigEpoch *epoch, const char *name, GError **error)
{
    struct csv_epoch as = mig_csv_epoch(epoch);
    struct csv_error reason = {0};

    return mig_csv_ok(csv_vm_delete(csv->volume, &as, name, &reason), &reason, MIG_ERROR_VM_UNKNOWN,
                      error);
}

gboolean
mig_csv_vm_delete_held(MigCsv *csv, const MigEpoch *epoch, const char *name, GError **error)
{
    struct csv_epoch as = mig_csv_epoch(epoch);
    struct csv_error reason = {0};

    return mig_csv_ok(csv_vm_delete_held(csv->volume, &as, name, &reason), &reason,
                      MIG_ERROR_VM_UNKNOWN, error);
}

gboolean
mig_csv_settle(MigCsv *csv, const MigEpoch *epoch, GError **error)
{
    struct csv_epoch as = mig_csv_epoch(epoch);
    struct csv_error reason = {0};

    return mig_csv_ok(csv_settle(csv->volume, &as, &reason), &reason, MIG_ERROR_FAILED, error);
}

/* ---- images ---- */

static MigImage *
image_from(MigCsv *csv, const struct csv_image *from)
{
    MigImage *image = g_new0(MigImage, 1);

    image->volume = g_strdup(csv->info->name);
    image->name = g_strdup(from->name);
    image->size_bytes = from->size_bytes;
    image->owner = g_strdup(from->owner);
    image->extents = from->extent_count;
    image->is_shared = (from->flags & CSV_IMAGE_SHARED) != 0;
    image->uuid = g_strdup(from->uuid);
    image->generation = from->generation;
    return image;
}

GPtrArray *
mig_csv_images(MigCsv *csv, GError **error)
{
    struct csv_image **from = NULL;
    size_t count = 0;
    struct csv_error reason = {0};

    if (!mig_csv_ok(csv_image_list(csv->volume, &from, &count, &reason), &reason, MIG_ERROR_FAILED,
                    error))
        return NULL;
    GPtrArray *images = g_ptr_array_new_with_free_func((GDestroyNotify)mig_image_free);
    g_auto(GStrv) active = mig_csv_active_images(csv);

    for (size_t i = 0; i < count; i++) {
        MigImage *image = image_from(csv, from[i]);

        image->is_active = g_strv_contains((const char *const *)active, image->name);
        g_ptr_array_add(images, image);
    }
    free(from);
    return images;
}

static gboolean
find(MigCsv *csv, const char *name, struct csv_image *image, GError **error)
{
    struct csv_error reason = {0};

    return mig_csv_ok(csv_image_find(csv->volume, name, image, &reason), &reason,
                      MIG_ERROR_IMAGE_UNKNOWN, error);
}

MigImage *
mig_csv_image(MigCsv *csv, const char *name, GError **error)
{
    g_autofree struct csv_image *from = g_new0(struct csv_image, 1);

    return find(csv, name, from, error) ? image_from(csv, from) : NULL;
}

MigImage *
mig_csv_image_create(MigCsv *csv, const MigEpoch *epoch, const char *name, guint64 size_bytes,
                     GError **error)
{
    struct csv_epoch as = mig_csv_epoch(epoch);
    g_autofree struct csv_image *made = g_new0(struct csv_image, 1);
    struct csv_error reason = {0};
    unsigned flags = csv_device_can_scatter() ? 0 : CSV_CREATE_ONE_PIECE;

    if (!mig_csv_ok(csv_image_create(csv->volume, &as, name, size_bytes, flags, made, &reason),
                    &reason, MIG_ERROR_IMAGE_UNKNOWN, error))
        return NULL;
    return image_from(csv, made);
}

gboolean
mig_csv_image_delete(MigCsv *csv, const MigEpoch *epoch, const char *name, GError **error)
{
    struct csv_epoch as = mig_csv_epoch(epoch);
    struct csv_error reason = {0};

    return mig_csv_ok(csv_image_delete(csv->volume, &as, name, TRUE, &reason), &reason,
                      MIG_ERROR_IMAGE_UNKNOWN, error);
}

gboolean
mig_csv_image_rename(MigCsv *csv, const MigEpoch *epoch, const char *name, const char *new_name,
                     GError **error)
{
    struct csv_epoch as = mig_csv_epoch(epoch);
    struct csv_error reason = {0};

    return mig_csv_ok(csv_image_rename(csv->volume, &as, name, new_name, &reason), &reason,
                      MIG_ERROR_IMAGE_UNKNOWN, error);
}

MigImage *
mig_csv_image_grow(MigCsv *csv, const MigEpoch *epoch, const char *name, guint64 size_bytes,
                   GError **error)
{
    struct csv_epoch as = mig_csv_epoch(epoch);
    g_autofree struct csv_image *made = g_new0(struct csv_image, 1);
    struct csv_error reason = {0};
    unsigned flags = csv_device_can_scatter() ? 0 : CSV_CREATE_ONE_PIECE;

    if (!mig_csv_ok(csv_image_grow(csv->volume, &as, name, size_bytes, flags, made, &reason),
                    &reason, MIG_ERROR_IMAGE_UNKNOWN, error))
        return NULL;
    return image_from(csv, made);
}

gboolean
mig_csv_image_assign(MigCsv *csv, const MigEpoch *epoch, const char *name, const char *owner,
                     GError **error)
{
    struct csv_epoch as = mig_csv_epoch(epoch);
    struct csv_error reason = {0};

    return mig_csv_ok(csv_image_assign(csv->volume, &as, name, owner, &reason), &reason,
                      MIG_ERROR_IMAGE_UNKNOWN, error);
}

/* ---- space ---- */

GPtrArray *
mig_csv_space_plan(MigCsv *csv, guint64 bytes, GError **error)
{
    struct csv_space_move *moves = NULL;
    struct csv_error reason = {0};
    uint64_t run = 0;
    size_t count = 0;

    if (!mig_csv_ok(csv_space_plan(csv->volume, bytes, &moves, &count, &run, &reason), &reason,
                    MIG_ERROR_FAILED, error))
        return NULL;
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);

    for (size_t i = 0; i < count; i++)
        g_ptr_array_add(names, g_strdup(moves[i].image));
    free(moves);
    return names;
}

/* ---- devices ---- */

gboolean
mig_csv_devices_attach(MigCsv *csv, GError **error)
{
    struct csv_error reason = {0};

    return mig_csv_ok(csv_device_attach(csv->volume, &reason), &reason, MIG_ERROR_FAILED, error);
}

gboolean
mig_csv_devices_detach(MigCsv *csv, GError **error)
{
    struct csv_error reason = {0};

    return mig_csv_ok(csv_device_detach(csv->volume, &reason), &reason, MIG_ERROR_FAILED, error);
}

/* Whom QEMU runs as on this host; -1: not known yet, or libvirt does not say. */
static gint qemu_user = -1, qemu_group = -1;

void
mig_csv_set_qemu(gint64 user, gint64 group)
{
    g_atomic_int_set(&qemu_group, (gint)group);
    g_atomic_int_set(&qemu_user, (gint)user);
}

/* Before it has the link: who finds that may start with it. */
static gboolean
give_to_qemu(MigCsv *csv, const struct csv_image *image, GError **error)
{
    gint user = g_atomic_int_get(&qemu_user), group = g_atomic_int_get(&qemu_group);
    struct csv_error reason = {0};

    return user == -1 || group == -1 ||
           mig_csv_ok(csv_image_give(csv->volume, image, (guint32)user, (guint32)group, &reason),
                      &reason, MIG_ERROR_IMAGE_UNKNOWN, error);
}

gboolean
mig_csv_activate(MigCsv *csv, const char *image, gboolean writable, char **path, GError **error)
{
    g_autofree struct csv_image *found = g_new0(struct csv_image, 1);
    struct csv_error reason = {0};
    char link[CSV_PATH_MAX];

    if (!find(csv, image, found, error) || (writable && !give_to_qemu(csv, found, error)) ||
        !mig_csv_ok(csv_device_activate(csv->volume, found, writable, link, &reason), &reason,
                    MIG_ERROR_IMAGE_UNKNOWN, error))
        return FALSE;
    if (path)
        *path = g_strdup(link);
    return TRUE;
}

gboolean
mig_csv_deactivate(MigCsv *csv, const char *image, const char *uuid, GError **error)
{
    struct csv_error reason = {0};
    int result = csv_device_deactivate(csv->volume, image, uuid, &reason);

    return result == CSV_NOT_FOUND || mig_csv_ok(result, &reason, MIG_ERROR_IMAGE_UNKNOWN, error);
}

gboolean
mig_csv_is_open(MigCsv *csv, const char *image)
{
    g_autofree struct csv_image *found = g_new0(struct csv_image, 1);

    return find(csv, image, found, NULL) && csv_device_is_open(csv->volume, found);
}

char **
mig_csv_active_images(MigCsv *csv)
{
    char **names = NULL;
    size_t count = 0;
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();

    if (csv_device_list(csv->volume, &names, &count, NULL) == CSV_OK) {
        for (size_t i = 0; i < count; i++)
            g_strv_builder_add(builder, names[i]);
        free(names);
    }
    return g_strv_builder_end(builder);
}
