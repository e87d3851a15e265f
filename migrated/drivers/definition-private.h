/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* definition-private.h - reading libvirt's XML, for the files that read it. */
#pragma once

#include <glib.h>
#include <libxml/parser.h>
#include <libxml/xpath.h>

G_DEFINE_AUTOPTR_CLEANUP_FUNC(xmlDoc, xmlFreeDoc)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(xmlXPathContext, xmlXPathFreeContext)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(xmlXPathObject, xmlXPathFreeObject)

/* Hostile text: no network, no DTD, capped. MIG_ERROR_BAD_DEFINITION. */
xmlDoc *mig_definition_read(const char *xml, GError **error);
/* First match as text; NULL where there is none or it is empty. g_free(). */
char *mig_definition_get(xmlXPathContext *context, const char *path);
/* Of an element like <memory unit='KiB'>, default KiB; 0: none, or not readable. */
guint64 mig_definition_bytes(xmlXPathContext *context, const char *path);
