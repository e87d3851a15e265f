/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* changes.c - which changes of a catalogue there are, and those of images. */
#include "api-shape.h"
#include "change.h"

#include "base/error.h"

static gboolean
image_create(MigCatalog *catalog, const MigPeerChangeRequest *request, gboolean is_begun,
             MigPeerChangeReply *reply, GError **error)
{
    MigCsv *csv = mig_attached_csv(catalog->attached);
    g_autoptr(MigImage) image = NULL;

    if (!request->name) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_NAME, "an image needs a name");
        return FALSE;
    }
    if (!is_begun)
        image = mig_csv_image_create(csv, &catalog->epoch, request->name,
                                     (guint64)MAX(request->size, 0), error);
    if (!image && !is_begun)
        return FALSE;
    if (!image)
        image = mig_csv_image(csv, request->name, NULL);
    if (image) {
        reply->image = mig_shape_image(image);
    } else { /* made, and renamed or deleted since */
        MigApiImage *was = mig_ApiImage_new();

        was->volume = g_strdup(mig_attached_name(catalog->attached));
        was->name = g_strdup(request->name);
        was->size = request->size;
        reply->image = was;
    }
    return TRUE;
}

/* The image that whoever asks means: the one of its uuid, where it says that. A slot keeps the last
 * few requests only, so one that is asked for again may have been done and be forgotten, and its
 * name be another image's by now. NULL without error: what is meant is gone. */
static MigImage *
find_meant(MigCsv *csv, const MigPeerChangeRequest *request, GError **error)
{
    const char *uuid = request->uuids ? request->uuids[0] : NULL;
    g_autoptr(GError) unnamed = NULL;
    g_autoptr(MigImage) named = mig_csv_image(csv, request->name ? request->name : "", &unnamed);
    g_autoptr(GPtrArray) images = NULL;

    if (named && (!uuid || g_ascii_strcasecmp(named->uuid, uuid) == 0))
        return g_steal_pointer(&named);
    if (!uuid) {
        g_propagate_error(error, g_steal_pointer(&unnamed));
        return NULL;
    }
    images = mig_csv_images(csv, error);
    for (guint i = 0; images && i < images->len; i++) {
        const MigImage *image = g_ptr_array_index(images, i);

        if (g_ascii_strcasecmp(image->uuid, uuid) == 0)
            return mig_csv_image(csv, image->name, error);
    }
    return NULL;
}

static gboolean
fail_other(const MigPeerChangeRequest *request, const char *now, GError **error)
{
    g_set_error(error, MIG_ERROR, MIG_ERROR_IMAGE_UNKNOWN,
                "image %s %s meanwhile%s%s: nothing was done", request->name ? request->name : "",
                now ? "was renamed" : "was deleted", now ? ", to " : "", now ? now : "");
    return FALSE;
}

static gboolean
image_delete(MigCatalog *catalog, const MigPeerChangeRequest *request, gboolean is_begun,
             MigPeerChangeReply *reply, GError **error)
{
    MigCsv *csv = mig_attached_csv(catalog->attached);
    g_autoptr(MigImage) image = NULL;
    g_autoptr(GError) unclear = NULL;

    if (is_begun)
        return TRUE;
    image = find_meant(csv, request, &unclear);
    if (!image && !unclear) /* by this request, or by somebody else's */
        return TRUE;
    /* one whose deletion may have failed behind its note: the volume knows, and says so if not */
    if (request->name && g_error_matches(unclear, MIG_ERROR, MIG_ERROR_IMAGE_UNKNOWN))
        return mig_csv_image_delete(csv, &catalog->epoch, request->name, error);
    if (!image) {
        g_propagate_error(error, g_steal_pointer(&unclear));
        return FALSE;
    }
    if (g_strcmp0(image->name, request->name) != 0)
        return fail_other(request, image->name, error);
    if (*image->owner) {
        g_set_error(
            error, MIG_ERROR, MIG_ERROR_IMAGE_IN_USE,
            "image %s belongs to VM %s; 'migratectl vm undefine %s --delete-images' removes "
            "both",
            image->name, image->owner, image->owner);
        return FALSE;
    }
    return mig_csv_image_delete(csv, &catalog->epoch, image->name, error);
}

/* flag: asked for by people, who may not rename what the definition of a VM names. */
static gboolean
image_rename(MigCatalog *catalog, const MigPeerChangeRequest *request, gboolean is_begun,
             MigPeerChangeReply *reply, GError **error)
{
    MigCsv *csv = mig_attached_csv(catalog->attached);
    g_autoptr(MigImage) image = NULL;
    g_autoptr(GError) unclear = NULL;

    if (is_begun)
        return TRUE;
    image = find_meant(csv, request, &unclear);
    if (!image && !unclear)
        return fail_other(request, NULL, error);
    if (!image) {
        g_propagate_error(error, g_steal_pointer(&unclear));
        return FALSE;
    }
    if (request->uuids && g_strcmp0(image->name, request->new_name) == 0)
        return TRUE;
    if (g_strcmp0(image->name, request->name) != 0)
        return fail_other(request, image->name, error);
    if (request->flag && *image->owner) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_IMAGE_IN_USE,
                    "image %s belongs to VM %s, whose definition has its name; a disk without a VM "
                    "can be renamed",
                    image->name, image->owner);
        return FALSE;
    }
    return mig_csv_image_rename(csv, &catalog->epoch, image->name,
                                request->new_name ? request->new_name : "", error);
}

/* Growing to a size twice is growing once. */
static gboolean
image_grow(MigCatalog *catalog, const MigPeerChangeRequest *request, gboolean is_begun,
           MigPeerChangeReply *reply, GError **error)
{
    MigCsv *csv = mig_attached_csv(catalog->attached);
    const char *name = request->name ? request->name : "";
    g_autoptr(MigImage) image =
        is_begun
            ? mig_csv_image(csv, name, error)
            : mig_csv_image_grow(csv, &catalog->epoch, name, (guint64)MAX(request->size, 0), error);

    if (image)
        reply->image = mig_shape_image(image);
    return image != NULL;
}

static const struct {
    const char *name;
    MigChangeRun run;
    gboolean is_repeatable;
} changes[] = {
    {"image-create", image_create, FALSE},   {"image-delete", image_delete, FALSE},
    {"image-rename", image_rename, FALSE},   {"image-grow", image_grow, TRUE},
    {"vm-define", mig_vm_run_define, FALSE}, {"vm-undefine", mig_vm_run_undefine, FALSE},
    {"vm-wanted", mig_vm_run_wanted, TRUE},  {"vm-own", mig_vm_run_own, TRUE},
    {"vm-set", mig_vm_run_set, TRUE},        {"vm-again", mig_vm_run_again, TRUE},
    {"vm-unwant", mig_vm_run_unwant, TRUE},
};

MigChangeRun
mig_change_find(const char *name)
{
    for (guint i = 0; i < G_N_ELEMENTS(changes); i++) {
        if (g_str_equal(changes[i].name, name))
            return changes[i].run;
    }
    return NULL;
}

gboolean
mig_change_is_repeatable(const char *name)
{
    for (guint i = 0; i < G_N_ELEMENTS(changes); i++) {
        if (g_str_equal(changes[i].name, name))
            return changes[i].is_repeatable;
    }
    return FALSE;
}
