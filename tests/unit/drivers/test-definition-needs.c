/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-definition-needs.c - each tie of a VM to its host is found in its XML. */
#include "drivers/definition-needs.h"

static MigNeeds *
parse(const char *devices, const char *other)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *xml = g_strdup_printf(
        "<domain type='kvm'><name>web</name><memory unit='MiB'>512</memory>%s"
        "<os><type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type></os>"
        "<devices><emulator>/usr/bin/qemu</emulator>"
        "<disk type='block' device='disk'><source dev='/dev/csv/vol/disk'/></disk>"
        "<serial type='file'><source path='/var/log/libvirt/qemu/web.console'/></serial>"
        "%s</devices></domain>",
        other, devices);
    MigNeeds *needs = mig_definition_needs(xml, &error);

    g_assert_no_error(error);
    return needs;
}

static void
expect_list(char **list, const char *only)
{
    g_assert_cmpstr(list[0], ==, only);
    g_assert_true(!list[0] || !list[1]);
}

static void
test_plain(void)
{
    g_autoptr(MigNeeds) needs = parse("", "");

    g_assert_cmpstr(needs->emulator, ==, "/usr/bin/qemu");
    g_assert_cmpstr(needs->arch, ==, "x86_64");
    g_assert_cmpstr(needs->machine, ==, "pc-i440fx-7.2");
    g_assert_cmpstr(needs->virt_type, ==, "kvm");
    g_assert_cmpint(needs->cpu_mode, ==, MIG_CPU_DEFAULT);
    g_assert_null(needs->cpu);
    g_assert_cmpuint(needs->memory_bytes, ==, 512 << 20);
    g_assert_cmpuint(needs->hugepage_bytes, ==, 0);
    g_assert_null(needs->numa_nodes);
    expect_list(needs->bridges, NULL);
    expect_list(needs->networks, NULL);
    expect_list(needs->cards, NULL);
    expect_list(needs->media, NULL);
    expect_list(needs->host_devices, NULL);
    expect_list(needs->local_files, NULL);
}

#define HAS(member, text, devices)                      \
    do {                                                \
        g_autoptr(MigNeeds) needs = parse(devices, ""); \
        expect_list(needs->member, text);               \
    } while (0)

static void
test_devices(void)
{
    HAS(host_devices, "a host device: pci", "<hostdev mode='subsystem' type='pci'/>");
    HAS(host_devices, "an interface of type hostdev", "<interface type='hostdev'/>");
    HAS(host_devices, "a folder of the host: /srv",
        "<filesystem><source dir='/srv'/></filesystem>");
    HAS(local_files, "disk /a.img",
        "<disk type='file' device='disk'><source file='/a.img'/></disk>");
    HAS(local_files, NULL, "<disk type='file'><source file='/dev/csv/vol/disk'/></disk>");
    HAS(local_files, "disk /dev/sda", "<disk type='block'><source dev='/dev/sda'/></disk>");
    HAS(local_files, "medium /a.iso",
        "<disk type='file' device='floppy'><source file='/a.iso'/></disk>");
    HAS(local_files, NULL, "<disk type='file' device='cdrom'><readonly/></disk>");
    HAS(media, "/a.iso",
        "<disk type='file' device='cdrom'><source file='/a.iso'/><readonly/></disk>");
    HAS(media, NULL,
        "<disk type='block' device='cdrom'><source dev='/dev/csv/vol/iso'/><readonly/></disk>");
    HAS(bridges, "br0", "<interface type='bridge'><source bridge='br0'/></interface>");
    HAS(networks, "lan",
        "<interface type='network'><source network='lan' bridge='br1'/></interface>");
    HAS(bridges, NULL, "<interface type='bridge'><source network='lan' bridge='br1'/></interface>");
    HAS(cards, "eth0", "<interface type='direct'><source dev='eth0' mode='bridge'/></interface>");
    /* what goes to terminals has no control characters */
    HAS(cards, "e\\x7f", "<interface type='direct'><source dev='e&#x7f;'/></interface>");
}

static void
expect_cpu(const char *cpu, MigCpuMode mode)
{
    g_autoptr(MigNeeds) needs = parse("", cpu);

    g_assert_cmpint(needs->cpu_mode, ==, mode);
    g_assert_cmpstr(needs->cpu, ==, cpu);
}

static void
test_cpu(void)
{
    expect_cpu("<cpu mode=\"host-passthrough\" check=\"none\"/>", MIG_CPU_PASSTHROUGH);
    expect_cpu("<cpu mode=\"maximum\"/>", MIG_CPU_MAXIMUM);
    expect_cpu("<cpu mode=\"host-model\"/>", MIG_CPU_MODEL);
    expect_cpu("<cpu><model>qemu64</model></cpu>", MIG_CPU_MODEL);
    expect_cpu("<cpu><topology sockets=\"1\"/></cpu>", MIG_CPU_DEFAULT);
}

static void
expect_pages(const char *pages, guint64 bytes)
{
    g_autofree char *xml =
        g_strdup_printf("<memoryBacking><hugepages>%s</hugepages></memoryBacking>", pages);
    g_autoptr(MigNeeds) needs = parse("", xml);

    g_assert_cmpuint(needs->hugepage_bytes, ==, bytes);
}

static void
test_memory(void)
{
    expect_pages("", 2 << 20);
    expect_pages("<page size='2048' unit='KiB'/>", 2 << 20);
    expect_pages("<page size='1' unit='G'/>", 1 << 30);
    expect_pages("<page size='1048576'/>", 1 << 30);
    g_autoptr(MigNeeds) strict =
        parse("", "<numatune><memory mode='strict' nodeset='0-1'/></numatune>");
    g_autoptr(MigNeeds) loose =
        parse("", "<numatune><memory mode='preferred' nodeset='0'/></numatune>");

    g_assert_cmpstr(strict->numa_nodes, ==, "0-1");
    g_assert_null(loose->numa_nodes);
}

#define CAPABILITIES                                                                         \
    "<capabilities><host><cpu><arch>x86_64</arch><model>EPYC</model><vendor>AMD</vendor>"    \
    "<microcode version='7'/><signature family='25' model='1' stepping='1'/>%s</cpu></host>" \
    "</capabilities>"

static MigHostCpu *
host(const char *features)
{
    g_autofree char *xml = g_strdup_printf(CAPABILITIES, features);
    MigHostCpu *cpu = mig_capabilities_host_cpu(xml);

    g_assert_nonnull(cpu);
    return cpu;
}

static void
test_host(void)
{
    g_autoptr(MigHostCpu) one = host("<feature name='aes'/><feature name='vme'/>");
    g_autoptr(MigHostCpu) same = host("<feature name='vme'/><feature name='aes'/>");
    g_autoptr(MigHostCpu) other = host("<feature name='vme'/>");
    g_autofree char *model = mig_domain_capabilities_host_model(
        "<domainCapabilities><cpu><mode name='host-model' supported='yes'><model>EPYC</model>"
        "<feature policy='require' name='aes'/></mode></cpu></domainCapabilities>");

    g_assert_cmpstr(one->vendor, ==, "AMD");
    g_assert_cmpstr(one->microcode, ==, "7");
    g_assert_cmpstr(one->features, ==, same->features);
    g_assert_cmpstr(one->features, !=, other->features);
    g_assert_nonnull(g_strrstr(one->xml, "EPYC"));
    g_assert_cmpstr(model, ==,
                    "<cpu mode='custom' match='exact'><model>EPYC</model>"
                    "<feature policy=\"require\" name=\"aes\"/></cpu>");
    g_assert_null(mig_capabilities_host_cpu("<capabilities/>"));
    g_assert_null(mig_capabilities_host_cpu("<"));
    g_assert_null(mig_domain_capabilities_host_model("<domainCapabilities/>"));
    g_assert_null(mig_definition_needs("<domain", NULL));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/definition-needs/plain", test_plain);
    g_test_add_func("/definition-needs/devices", test_devices);
    g_test_add_func("/definition-needs/cpu", test_cpu);
    g_test_add_func("/definition-needs/memory", test_memory);
    g_test_add_func("/definition-needs/host", test_host);
    return g_test_run();
}
