/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* definition-needs.h - what libvirt's XML says of a running VM's needs, and of a host's CPU. */
#pragma once

#include "core/needs.h"

/* From the live XML of a domain, trusted or not. NULL + MIG_ERROR_BAD_DEFINITION. Any thread. */
MigNeeds *mig_definition_needs(const char *xml, GError **error);
/* From libvirt's capabilities: all but the emulator's version; NULL where they have no CPU. */
MigHostCpu *mig_capabilities_host_cpu(const char *xml);
/* The model that a hypervisor offers as its host's, from its domain capabilities, as <cpu>; NULL:
 * none. g_free(). */
char *mig_domain_capabilities_host_model(const char *xml);
