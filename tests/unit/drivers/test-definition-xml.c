/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-definition-xml.c - what is read from a domain's XML, what is refused, and what is added. */
#include "drivers/definition-xml.h"

#include "base/error.h"

#include <string.h>

#define UUID "5a1f0c3e-6f0c-4d3b-9c59-2f6c8c1f7f11"
#define DISK                                                                         \
    "<disk type='block' device='disk'><driver name='qemu' type='raw' cache='none'/>" \
    "<source dev='/dev/csv/vol/disk'/><target dev='vda'/></disk>"
#define DOMAIN(head, devices)                                                                     \
    "<domain type='kvm'><name>web</name><memory unit='MiB'>512</memory>" head "<devices>" devices \
    "</devices></domain>"

static void
test_good(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigDefinition) definition =
        mig_definition_parse(DOMAIN("<uuid>" UUID "</uuid><vcpu>3</vcpu>", DISK
                                    "<disk type='block'><driver cache='directsync'/>"
                                    "<source dev='/dev/csv/vol2/a.b'/></disk>"
                                    "<disk type='file' device='cdrom'><target dev='sda'/></disk>"),
                             &error);

    g_assert_no_error(error);
    g_assert_cmpstr(definition->problem, ==, NULL);
    g_assert_cmpstr(definition->name, ==, "web");
    g_assert_cmpstr(definition->uuid, ==, UUID);
    g_assert_cmpuint(definition->memory_bytes, ==, 512 << 20);
    g_assert_cmpuint(definition->vcpus, ==, 3);
    g_assert_cmpuint(g_strv_length(definition->images), ==, 2);
    g_assert_cmpstr(definition->images[0], ==, "vol/disk");
    g_assert_cmpstr(definition->images[1], ==, "vol2/a.b");
    g_assert_null(definition->lockspace);
    g_assert_cmpuint(definition->leases, ==, 0);
}

static void
test_defaults(void)
{
    g_autoptr(MigDefinition) definition =
        mig_definition_parse("<domain><name> web </name><memory>1024</memory></domain>", NULL);

    g_assert_cmpstr(definition->problem, ==, NULL);
    g_assert_cmpstr(definition->name, ==, "web");
    g_assert_null(definition->uuid);
    g_assert_cmpuint(definition->memory_bytes, ==, 1 << 20);
    g_assert_cmpuint(definition->vcpus, ==, 1);
    g_assert_cmpuint(g_strv_length(definition->images), ==, 0);
}

/* The problem names the cause. */
static void
test_refused(void)
{
    static const struct {
        const char *xml, *says;
    } cases[] = {
        {"<domain><memory>1</memory></domain>", "no <name>"},
        {"<domain><name> </name><memory>1</memory></domain>", "no <name>"},
        {"<domain><name>web</name></domain>", "no readable <memory>"},
        {DOMAIN("<uuid>12</uuid>", ""), "not a uuid"},
        {DOMAIN("<vcpu>0</vcpu>", ""), "<vcpu>0"},
        {DOMAIN("<vcpu>two</vcpu>", ""), "<vcpu>two"},
        {DOMAIN("<vcpu>4097</vcpu>", ""), "<vcpu>4097"},
        {DOMAIN("<os><kernel>/boot/vmlinuz</kernel></os>", ""), "<kernel>"},
        {DOMAIN("<os><initrd>/boot/initrd</initrd></os>", ""), "<initrd>"},
        {DOMAIN("<os><nvram>/var/x</nvram></os>", ""), "<nvram>"},
        {DOMAIN("<q:commandline xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'/>", ""),
         "<qemu:commandline>"},
        {DOMAIN("", "<hostdev mode='subsystem'/>"), "<hostdev>"},
        {DOMAIN("", "<filesystem/>"), "<filesystem>"},
        {DOMAIN("", "<disk type='file'><source file='/x.img'/><target dev='vdb'/></disk>"),
         "disk vdb is not an image"},
        {DOMAIN("", "<disk type='file'><source dev='/dev/csv/vol/disk'/></disk>"), "not an image"},
        {DOMAIN("", "<disk type='block'><source dev='/dev/sda'/></disk>"), "not an image"},
        {DOMAIN("", "<disk type='block'><source dev='/dev/csv/vol'/></disk>"), "not an image"},
        {DOMAIN("", "<disk type='block'><source dev='/dev/csv/vol/'/></disk>"), "not an image"},
        {DOMAIN("", "<disk type='block'><source dev='/dev/csv//disk'/></disk>"), "not an image"},
        {DOMAIN("", "<disk type='block'><source dev='/dev/csv/vol/a/b'/></disk>"), "not an image"},
        {DOMAIN("", "<disk type='block'><source dev='/dev/csv/vol/..'/></disk>"), "not an image"},
        {DOMAIN("", "<disk type='block'><source dev='/dev/csv/../sda'/></disk>"), "not an image"},
        {DOMAIN("", "<disk type='block' device='cdrom'><source dev='/dev/sr0'/></disk>"),
         "not an image"},
        {DOMAIN("", "<disk type='block'><source dev='/dev/csv/vol/disk'/></disk>"),
         "cache='default'"},
        {DOMAIN("", "<disk type='block'><driver cache='writeback'/>"
                    "<source dev='/dev/csv/vol/disk'/></disk>"),
         "cache='writeback'"},
        {DOMAIN("", "<disk type='block'><driver cache='none'/><source dev='/dev/csv/vol/disk'/>"
                    "<mirror/></disk>"),
         "block job"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(MigDefinition) definition = mig_definition_parse(cases[i].xml, &error);

        g_test_message("%s", cases[i].xml);
        g_assert_no_error(error);
        g_assert_nonnull(definition->problem);
        g_assert_nonnull(strstr(definition->problem, cases[i].says));
    }
}

static void
expect_unreadable(const char *xml, const char *says)
{
    static const MigLease lease = {
        .lockspace = (char *)"vol", .resource = (char *)"web", .path = (char *)"/dev/x"};
    g_autoptr(GError) error = NULL, again = NULL;
    MigDefinition *definition = mig_definition_parse(xml, &error);

    g_assert_null(definition);
    g_assert_error(error, MIG_ERROR, MIG_ERROR_BAD_DEFINITION);
    g_assert_null(strchr(error->message, '\n'));
    if (says)
        g_assert_nonnull(strstr(error->message, says));
    g_assert_null(mig_definition_complete(xml, UUID, &lease, &again));
    g_assert_error(again, MIG_ERROR, MIG_ERROR_BAD_DEFINITION);
}

static void
test_unreadable(void)
{
    g_autofree char *much = g_strnfill(300 * 1024, ' ');
    g_autofree char *big = g_strconcat("<domain>", much, "</domain>", NULL);
    GString *deep = g_string_new("<domain>");

    expect_unreadable("", NULL);
    expect_unreadable("web", NULL);
    expect_unreadable("<domain>", NULL);
    expect_unreadable("<domain></vm>", NULL);
    expect_unreadable("<domain><name>\xff\xfe</name></domain>", NULL);
    expect_unreadable("<domain xmlns='http://x/'/>", "not a libvirt <domain>");
    expect_unreadable("<network><name>web</name></network>", "not a libvirt <domain>");
    expect_unreadable(big, "are the most");
    for (guint i = 0; i < 5000; i++)
        g_string_append(deep, "<a>");
    expect_unreadable(deep->str, NULL);
    g_string_free(deep, TRUE);
}

/* Entities would make much out of little, or read a file of the host. */
static void
test_doctype(void)
{
    expect_unreadable("<!DOCTYPE domain><domain><name>web</name></domain>", "DOCTYPE");
    expect_unreadable("<!DOCTYPE domain SYSTEM 'file:///etc/passwd'><domain/>", "DOCTYPE");
    expect_unreadable("<!DOCTYPE d [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>"
                      "<domain><name>&x;</name></domain>",
                      "DOCTYPE");
    expect_unreadable("<!DOCTYPE d [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>"
                      "<!ENTITY c '&b;&b;&b;&b;&b;&b;&b;&b;'><!ENTITY d '&c;&c;&c;&c;&c;&c;&c;&c;'>"
                      "<!ENTITY e '&d;&d;&d;&d;&d;&d;&d;&d;'><!ENTITY f '&e;&e;&e;&e;&e;&e;&e;&e;'>"
                      "<!ENTITY g '&f;&f;&f;&f;&f;&f;&f;&f;'><!ENTITY h '&g;&g;&g;&g;&g;&g;&g;&g;'>"
                      "]><domain><name>&h;</name></domain>",
                      NULL);
}

static void
test_memory(void)
{
    static const struct {
        const char *element;
        guint64 bytes; /* 0: refused */
    } cases[] = {
        {"<memory>1</memory>", 1024},
        {"<memory unit='b'>5</memory>", 5},
        {"<memory unit='bytes'>5</memory>", 5},
        {"<memory unit='KB'>5</memory>", 5000},
        {"<memory unit='k'>5</memory>", 5120},
        {"<memory unit='KiB'> 5 </memory>", 5120},
        {"<memory unit='MB'>5</memory>", 5000000},
        {"<memory unit='M'>5</memory>", 5 << 20},
        {"<memory unit='MiB'>5</memory>", 5 << 20},
        {"<memory unit='GB'>5</memory>", 5000000000},
        {"<memory unit='G'>5</memory>", (guint64)5 << 30},
        {"<memory unit='GiB'>5</memory>", (guint64)5 << 30},
        {"<memory unit='TB'>2</memory>", 2000000000000},
        {"<memory unit='T'>2</memory>", (guint64)2 << 40},
        {"<memory unit='TiB'>2</memory>", (guint64)2 << 40},
        {"<memory unit='parsec'>5</memory>", 0},
        {"<memory>0</memory>", 0},
        {"<memory>-5</memory>", 0},
        {"<memory>5.5</memory>", 0},
        {"<memory>much</memory>", 0},
        {"<memory></memory>", 0},
        {"<memory unit='GiB'>18446744073709551615</memory>", 0},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *xml =
            g_strdup_printf("<domain><name>web</name>%s</domain>", cases[i].element);
        g_autoptr(MigDefinition) definition = mig_definition_parse(xml, NULL);

        g_test_message("%s", cases[i].element);
        g_assert_cmpuint(definition->memory_bytes, ==, cases[i].bytes);
        g_assert_true((definition->problem == NULL) == (cases[i].bytes > 0));
    }
}

static guint
count(const char *text, const char *what)
{
    guint n = 0;

    for (const char *at = text; (at = strstr(at, what)); at++)
        n++;
    return n;
}

static void
expect_completed(const char *xml)
{
    const MigLease lease = {.lockspace = (char *)"vol",
                            .resource = (char *)"we<b>&",
                            .path = (char *)"/dev/disk/by-id/x&y'\"",
                            .offset_bytes = G_GUINT64_CONSTANT(5368709120)};
    g_autoptr(GError) error = NULL;
    g_autofree char *text = mig_definition_complete(xml, UUID, &lease, &error);
    g_autoptr(MigDefinition) definition = text ? mig_definition_parse(text, &error) : NULL;

    g_assert_no_error(error);
    g_assert_cmpstr(definition->uuid, ==, UUID);
    g_assert_cmpstr(definition->lockspace, ==, "vol");
    g_assert_cmpuint(count(text, "<lease>"), ==, 1);
    g_assert_cmpuint(count(text, "<uuid>"), ==, 1);
    g_assert_cmpuint(count(text, "<devices>"), ==, 1);
    g_assert_nonnull(strstr(text, "<key>we&lt;b&gt;&amp;</key>"));
    g_assert_nonnull(strstr(text, "offset=\"5368709120\""));
    g_assert_nonnull(strstr(text, "path=\"/dev/disk/by-id/x&amp;y'&quot;\""));
}

static void
test_complete(void)
{
    g_autoptr(MigDefinition) with_lease = mig_definition_parse(
        DOMAIN("", "<lease><lockspace>other</lockspace><key>k</key></lease>"), NULL);

    expect_completed(DOMAIN("", DISK));
    expect_completed(DOMAIN("<uuid>" UUID "</uuid>", DISK));
    expect_completed(DOMAIN("<uuid>00000000-0000-0000-0000-000000000000</uuid>", DISK));
    expect_completed("<domain><name>web</name><memory>1</memory></domain>");
    /* told to the caller, who refuses it (vm-define.c) */
    g_assert_cmpstr(with_lease->lockspace, ==, "other");
    /* and should one have come through: the VM's own is the only one */
    expect_completed(DOMAIN("", "<lease><lockspace>other</lockspace><key>k</key></lease>" DISK));
}

#define FOREIGN                                                                      \
    "<lease><lockspace>vol</lockspace><key>victim</key><target path='/dev/csv/lun' " \
    "offset='5242880'/></lease>"

/* Another VM's lease, hidden behind what is looked at first. */
static void
test_leases(void)
{
    static const char *const cases[] = {
        DOMAIN("", "<lease/>"),
        DOMAIN("", "<lease><lockspace/></lease>"),
        DOMAIN("", "<lease><lockspace> </lockspace></lease>" FOREIGN),
        DOMAIN("", "<lease><key>k</key></lease>"),
        DOMAIN("<devices><lease><lockspace/></lease></devices>", FOREIGN),
        DOMAIN("<devices/>", FOREIGN),
        DOMAIN("<?devices?>", FOREIGN),
        DOMAIN("<?name?><?uuid?><?devices <lease/>?>", FOREIGN),
    };
    const MigLease lease = {
        .lockspace = (char *)"vol", .resource = (char *)"web", .path = (char *)"/dev/x"};

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(MigDefinition) definition = mig_definition_parse(cases[i], NULL);
        g_autofree char *text = mig_definition_complete(cases[i], UUID, &lease, NULL);
        g_autoptr(MigDefinition) after = mig_definition_parse(text, NULL);

        g_test_message("%s -> %s", cases[i], text);
        g_assert_cmpuint(definition->leases, >, 0);
        g_assert_cmpuint(count(text, "<lease>"), ==, 1);
        g_assert_null(strstr(text, "victim"));
        g_assert_nonnull(strstr(text, "<key>web</key>"));
        g_assert_cmpuint(after->leases, ==, 1);
        g_assert_cmpstr(after->lockspace, ==, "vol");
        g_assert_cmpstr(after->name, ==, "web");
        g_assert_cmpstr(after->uuid, ==, UUID);
    }
}

/* A disk of ours stops its guest where it fails, unless told otherwise; no other one's does. */
static void
test_errors(void)
{
    static const struct {
        const char *disk;
        guint stops;
    } cases[] = {
        {"<disk type='block'><driver name='qemu' type='raw'/><source dev='/dev/csv/v/i'/></disk>",
         2},
        {"<disk type='block' device='disk'><driver name='qemu' error_policy='report'/>"
         "<source dev='/dev/csv/v/i'/></disk>",
         1},
        {"<disk type='block'><driver name='qemu'/><source dev='/dev/sda'/></disk>", 0},
        {"<disk type='block' device='cdrom'><driver name='qemu'/><source "
         "dev='/dev/csv/v/i'/></disk>",
         0},
    };
    MigLease lease = {
        .lockspace = (char *)"vol", .resource = (char *)"web", .path = (char *)"/dev/x"};

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *xml = g_strdup_printf("<domain><name>web</name><memory>1</memory><devices>"
                                               "%s</devices></domain>",
                                               cases[i].disk);
        g_autofree char *text = mig_definition_complete(xml, UUID, &lease, NULL);

        g_assert_nonnull(text);
        g_assert_cmpuint(count(text, "error_policy=\"stop\""), ==, cases[i].stops);
    }
}

static void
expect_qemu(const char *xml, gint64 user, gint64 group)
{
    gint64 got_user = 0, got_group = 0;

    mig_capabilities_qemu(xml, &got_user, &got_group);
    g_assert_cmpint(got_user, ==, user);
    g_assert_cmpint(got_group, ==, group);
}

static void
test_capabilities(void)
{
    g_autofree char *vendor = mig_capabilities_cpu_vendor(
        "<capabilities><host><cpu><vendor>AMD</vendor></cpu></host></capabilities>");

    g_assert_cmpstr(vendor, ==, "AMD");
    g_assert_null(mig_capabilities_cpu_vendor("<capabilities/>"));
    g_assert_null(mig_capabilities_cpu_vendor("rubbish"));
#define LABEL(text)                                                                                \
    "<capabilities><host><secmodel><model>apparmor</model><baselabel type='kvm'>1:2</baselabel>"   \
    "</secmodel><secmodel><model>dac</model><baselabel type='kvm'>" text "</baselabel></secmodel>" \
    "</host></capabilities>"
    expect_qemu(LABEL("+64055:+64056"), 64055, 64056);
    expect_qemu(LABEL("0:0"), 0, 0);
    expect_qemu(LABEL("+1:-1"), 1, -1);
    expect_qemu(LABEL("++1:+2"), -1, 2);
    expect_qemu(LABEL("+1"), -1, -1);
    expect_qemu(LABEL("+1:+4294967295"), 1, -1);
    expect_qemu(LABEL("+4294967295:+1"), -1, 1);
    expect_qemu("<capabilities/>", -1, -1);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/definition/good", test_good);
    g_test_add_func("/definition/defaults", test_defaults);
    g_test_add_func("/definition/refused", test_refused);
    g_test_add_func("/definition/unreadable", test_unreadable);
    g_test_add_func("/definition/doctype", test_doctype);
    g_test_add_func("/definition/memory", test_memory);
    g_test_add_func("/definition/complete", test_complete);
    g_test_add_func("/definition/errors", test_errors);
    g_test_add_func("/definition/leases", test_leases);
    g_test_add_func("/definition/capabilities", test_capabilities);
    return g_test_run();
}
