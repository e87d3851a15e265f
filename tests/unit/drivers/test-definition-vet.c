/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-definition-vet.c - what a VM definition may not say, and that real ones may. */
#include "drivers/definition-xml.h"

#include <string.h>

#define DOMAIN(head, devices)                                                                     \
    "<domain type='kvm'><name>web</name><memory unit='MiB'>512</memory>" head "<devices>" devices \
    "</devices></domain>"
#define DISK(attributes, more)                                                               \
    DOMAIN("", "<disk type='block' device='disk' " attributes "><source "                    \
               "dev='/dev/csv/vol/disk'/><driver name='qemu' type='raw' cache='none'/>" more \
               "<target dev='vda'/></disk>")
#define LOG "/var/log/libvirt/qemu/"

typedef struct {
    const char *xml, *says; /* says NULL: accepted */
} Case;

static void
try_all(const Case *cases, gsize count)
{
    for (gsize i = 0; i < count; i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(MigDefinition) definition = mig_definition_parse(cases[i].xml, &error);

        g_test_message("%s", cases[i].xml);
        g_assert_no_error(error);
        if (!cases[i].says) {
            g_assert_cmpstr(definition->problem, ==, NULL);
            continue;
        }
        g_assert_nonnull(definition->problem);
        g_test_message("-> %s", definition->problem);
        g_assert_nonnull(strstr(definition->problem, cases[i].says));
    }
}

static void
test_domain(void)
{
    static const Case cases[] = {
        {DOMAIN("<os><type arch='x86_64' machine='q35'>hvm</type><boot dev='hd'/></os>", ""), NULL},
        {DOMAIN("<os><type>exe</type></os>", ""), "<os/type>"},
        {DOMAIN("<os firmware='efi'><type>hvm</type></os>", ""), "firmware of <os>"},
        {DOMAIN("<os><loader readonly='yes' type='pflash' stateless='yes'>/usr/share/OVMF/"
                "OVMF_CODE.fd</loader></os>",
                ""),
         NULL},
        {DOMAIN("<os><loader type='pflash'>/usr/share/OVMF/OVMF_CODE.fd</loader></os>", ""),
         "stateless='yes'"},
        {DOMAIN("<os><loader type='rom'>/etc/shadow</loader></os>", ""), "<os/loader>"},
        {DOMAIN("<os><loader type='rom'>/usr/share/OVMF/../../../etc/shadow</loader></os>", ""),
         "<os/loader>"},
        {DOMAIN("<os><loader readonly='no' type='rom'>/usr/share/qemu/x</loader></os>", ""),
         "readonly='no'"},
        {DOMAIN("<os><dtb>/etc/shadow</dtb></os>", ""), "<os/dtb>"},
        {DOMAIN("<os><acpi><table type='slic'>/etc/shadow</table></acpi></os>", ""), "<os/acpi>"},
        {DOMAIN("<os><smbios mode='host'/></os>", ""), "mode='host'"},
        {DOMAIN("<bootloader>/bin/sh</bootloader>", ""), "<bootloader>"},
        {DOMAIN("<memoryBacking><source type='file'/></memoryBacking>", ""), "type='file'"},
        {DOMAIN("<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>", ""),
         NULL},
        {DOMAIN("<sysinfo type='fwcfg'><entry name='opt/x' file='/etc/shadow'/></sysinfo>", ""),
         "type='fwcfg'"},
        {DOMAIN("<sysinfo type='smbios'><entry name='opt/x' file='/etc/shadow'/></sysinfo>", ""),
         "<sysinfo/entry>"},
        {DOMAIN("<blkiotune><device><path>/dev/sda</path></device></blkiotune>", ""),
         "<blkiotune/device>"},
        {DOMAIN("<on_crash>coredump-destroy</on_crash>", ""), "core dump"},
        {DOMAIN("<on_lockfailure>ignore</on_lockfailure>", ""), "lease"},
        {DOMAIN("<on_lockfailure>poweroff</on_lockfailure>", ""), NULL},
        {DOMAIN("<seclabel type='none'/>", ""), "type='none'"},
        {DOMAIN("<seclabel type='static' model='dac'><label>0:0</label></seclabel>", ""), "static"},
        {DOMAIN("<seclabel type='dynamic' model='dac'><label>0:0</label></seclabel>", ""),
         "<seclabel/label>"},
        {DOMAIN("<launchSecurity type='sev'/>", ""), "<launchSecurity>"},
        {DOMAIN("<wormhole/>", ""), "<wormhole>"},
        {DOMAIN("", "<wormhole/>"), "<devices/wormhole>"},
        {"<domain type='xen'><name>web</name><memory>1</memory></domain>", "type='xen'"},
        {"<domain type='lxc'><name>web</name><memory>1</memory></domain>", "type='lxc'"},
        {DOMAIN("<q:override xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'/>", ""),
         "<q:override>"},
        {DOMAIN("<memory xmlns='http://x/'>1</memory>", ""), "<memory>"},
        {DOMAIN("<cpu x:y='1' xmlns:x='http://x/'/>", ""), "y of <cpu>"},
        {DOMAIN("<metadata><a:b xmlns:a='http://x/'><c path='/x'/></a:b></metadata>", ""), NULL},
        {DOMAIN("<metadatas/>", ""), "<metadatas>"},
        /* where one may stand, two are not the same to everybody */
        {DOMAIN("<name>db</name>", ""), "has <name> twice"},
        {DOMAIN("<uuid/><uuid/>", ""), "has <uuid> twice"},
        {DOMAIN("<memory>1</memory>", ""), "has <memory> twice"},
        {DOMAIN("<currentMemory>1</currentMemory><currentMemory>1</currentMemory>", ""), "twice"},
        {DOMAIN("<vcpu>1</vcpu><vcpu>2</vcpu>", ""), "has <vcpu> twice"},
        {DOMAIN("<cpu/><title/><cpu/>", ""), "has <cpu> twice"},
        {DOMAIN("<os/><os/>", ""), "has <os> twice"},
        {DOMAIN("<devices/>", ""), "has <devices> twice"},
        {DOMAIN("<sysinfo type='smbios'/><sysinfo type='smbios'/>", ""), NULL},
        {DOMAIN("", "<lease/><lease/>"), "has <devices/lease> twice"},
        /* an element that stands twice is looked at twice */
        {DOMAIN("<os><type>hvm</type></os><os><kernel>/k</kernel></os>", ""), "<kernel>"},
    };

    try_all(cases, G_N_ELEMENTS(cases));
}

static void
test_disks(void)
{
    static const Case cases[] = {
        {DISK("", "<boot order='1'/><serial>1</serial>"), NULL},
        {DISK("rawio='yes'", ""), "rawio of <devices/disk>"},
        {DISK("sgio='unfiltered'", ""), "sgio of"},
        {DISK("snapshot='external'", ""), "snapshot='external'"},
        {DISK("", "<transient/>"), "<devices/disk/transient>"},
        {DISK("", "<backingStore type='file'><source file='/x'/></backingStore>"), "backingStore"},
        {DISK("", "<backingStore><source file='/etc/shadow'/></backingStore>"), "backingStore"},
        {DISK("", "<auth username='u'><secret type='iscsi' usage='x'/></auth>"), "disk/auth>"},
        {DISK("", "<encryption format='luks'/>"), "disk/encryption>"},
        {DISK("", "<source file='/etc/shadow'/>"), "two sources"},
        {DOMAIN("", "<disk type='file'><driver name='qemu' type='raw' cache='none'/>"
                    "<source file='/dev/csv/vol/disk'/><target dev='vda'/></disk>"),
         NULL},
        {DOMAIN("", "<disk type='file'><driver name='qemu' type='raw' cache='none'/>"
                    "<source file='/etc/shadow'/><target dev='vda'/></disk>"),
         "not an image of a volume"},
        {DOMAIN("", "<disk type='file'><driver name='qemu' type='raw' cache='none'/>"
                    "<source file='/dev/csv/vol/../../sda'/><target dev='vda'/></disk>"),
         "not an image of a volume"},
        {DOMAIN("",
                "<disk type='block'><driver name='qemu' type='raw' cache='none'/><source "
                "dev='/dev/csv/vol/disk' file='/dev/csv/vol/other'/><target dev='vda'/></disk>"),
         "two sources"},
        {DISK("", "<source dev='/dev/csv/vol/disk'><reservations managed='yes'/></source>"),
         "source/reservations>"},
        {DISK("", "<source dev='/dev/csv/vol/disk'><slices/></source>"), "source/slices>"},
        {DOMAIN("", "<disk type='block' device='lun'><driver cache='none'/>"
                    "<source dev='/dev/csv/vol/disk'/></disk>"),
         "SCSI commands"},
        {DOMAIN("", "<disk type='block'><driver name='qemu' type='qcow2' cache='none'/>"
                    "<source dev='/dev/csv/vol/disk'/></disk>"),
         "an image is raw"},
        {DOMAIN("", "<disk type='network'><source protocol='nbd' name='x'/></disk>"), "image of"},
        {DOMAIN("", "<disk type='network' device='cdrom'/>"), "type='network'"},
        {DOMAIN("", "<disk type='vhostuser'><source type='unix' path='/x'/></disk>"), "image of"},
        {DOMAIN("", "<disk type='file' device='cdrom'><target dev='sda'/><readonly/></disk>"),
         NULL},
        {DISK("", "<source dev='/dev/csv/vol/other'/>"), "has <devices/disk/source> twice"},
        {DISK("", "<driver name='qemu' type='raw' cache='writeback'/>"), "disk/driver> twice"},
    };

    try_all(cases, G_N_ELEMENTS(cases));
}

static void
test_devices(void)
{
    static const Case cases[] = {
        {DOMAIN("", "<emulator>/tmp/evil</emulator>"), "<devices/emulator>"},
        {DOMAIN("", "<emulator>/usr/bin/qemu-system-x86_64</emulator>"), NULL},
        {DOMAIN("", "<emulator>/usr/bin/qemu-system-/../../../tmp/x</emulator>"), "emulator>"},
        {DOMAIN("", "<interface type='bridge'><source bridge='br0'/></interface>"), NULL},
        {DOMAIN("", "<interface type='direct'><source dev='eth0'/></interface>"), "type='direct'"},
        {DOMAIN("", "<interface type='ethernet'/>"), "type='ethernet'"},
        {DOMAIN("", "<interface type='user'/>"), "type='user'"},
        {DOMAIN("", "<interface type='hostdev'/>"), "type='hostdev'"},
        {DOMAIN("", "<interface type='vhostuser'/>"), "type='vhostuser'"},
        {DOMAIN("", "<interface type='bridge'><script path='/x'/></interface>"), "/script>"},
        {DOMAIN("", "<interface type='bridge'><backend tap='/x'/></interface>"), "/backend>"},
        {DOMAIN("", "<interface type='bridge'><rom file='/etc/shadow'/></interface>"), "file of"},
        {DOMAIN("", "<interface type='bridge'><target dev='eth0'/></interface>"), "dev='eth0'"},
        {DOMAIN("", "<interface type='bridge'><target dev='vnet3'/></interface>"), NULL},
        {DOMAIN("", "<serial type='pty'><source path='/dev/pts/3'/></serial>"), NULL},
        {DOMAIN("", "<serial type='dev'><source path='/dev/sda'/></serial>"), "type='dev'"},
        {DOMAIN("", "<serial type='pty'><source path='/dev/sda'/></serial>"), "path='/dev/sda'"},
        {DOMAIN("", "<serial type='pty'><log file='/etc/x'/></serial>"), "serial/log>"},
        {DOMAIN("", "<serial type='unix'><source path='/x'/></serial>"), "type='unix'"},
        {DOMAIN("", "<serial type='tcp'><source host='x' service='1'/></serial>"), "type='tcp'"},
        {DOMAIN("", "<serial type='file'><source path='/etc/passwd'/></serial>"), "/etc/passwd"},
        {DOMAIN("", "<serial type='file'><source path='" LOG "web.console'/></serial>"), NULL},
        {DOMAIN("", "<serial type='file'><source path='" LOG "web.log'/></serial>"), "web.log"},
        {DOMAIN("", "<console type='file'><source path='" LOG "web.console'/></console>"), NULL},
        /* another VM's; a terminal of the host, which QEMU would open; what no type makes sense of
         */
        {DOMAIN("", "<serial type='file'><source path='" LOG "db.console'/></serial>"), "path="},
        {DOMAIN("", "<console type='file'><source path='" LOG "db.console'/></console>"), "path="},
        {DOMAIN("", "<serial type='file'><source path='/dev/pts/0'/></serial>"), "type='file'"},
        {DOMAIN("", "<console type='file'><source path='/dev/pts/0'/></console>"), "type='file'"},
        {DOMAIN("", "<serial type='null'><source path='/dev/pts/0'/></serial>"), "type='null'"},
        {DOMAIN("", "<serial type='pty'><source path='" LOG "web.console'/></serial>"), "'pty'"},
        {DOMAIN("", "<serial><source path='" LOG "web.console'/></serial>"), "'pty'"},
        {DOMAIN("", "<serial><source path='/dev/pts/1'/></serial>"), NULL},
        {DOMAIN("", "<parallel type='pty'><source path='/dev/pts/1'/></parallel>"), NULL},
        {DOMAIN("", "<channel type='unix'><source mode='bind' path='/dev/pts/0'/></channel>"),
         "type='unix'"},
        {DOMAIN("", "<channel type='pty'><source path='/dev/pts/1'/></channel>"), NULL},
        {DOMAIN("", "<serial type='file'><source path='" LOG "web.console'/>"
                    "<source path='/dev/pts/0'/></serial>"),
         "/dev/pts/0"},
        {DOMAIN("", "<serial type='file'><source path='" LOG ".console'/></serial>"), "path="},
        {DOMAIN("", "<serial type='file'><source path='" LOG "../x.console'/></serial>"), "path="},
        {DOMAIN("", "<serial type='file'><source path='" LOG "web./../x'/></serial>"), "path="},
        {DOMAIN("", "<console type='udp'/>"), "type='udp'"},
        {DOMAIN("", "<parallel type='dev'/>"), "type='dev'"},
        {DOMAIN("", "<channel type='unix'><source mode='bind'/>"
                    "<target type='virtio' name='org.qemu.guest_agent.0'/></channel>"),
         NULL},
        {DOMAIN("", "<channel type='unix'><source mode='bind' path='/run/x'/></channel>"),
         "path='/run/x'"},
        {DOMAIN("", "<channel type='unix'><source mode='connect'/></channel>"), "mode='connect'"},
        {DOMAIN("", "<channel type='pipe'/>"), "type='pipe'"},
        {DOMAIN("", "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>"),
         NULL},
        {DOMAIN("", "<rng model='virtio'><backend model='random'>/dev/sda</backend></rng>"),
         "<devices/rng/backend>"},
        {DOMAIN("", "<rng model='virtio'><backend model='egd' type='tcp'/></rng>"), "rng/backend>"},
        {DOMAIN("", "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>"), NULL},
        {DOMAIN("", "<tpm><backend type='passthrough'><device path='/dev/tpm0'/></backend></tpm>"),
         "type='passthrough'"},
        {DOMAIN("", "<tpm><backend type='emulator'><encryption secret='x'/></backend></tpm>"),
         "backend/encryption>"},
        {DOMAIN("", "<input type='tablet' bus='usb'/>"), NULL},
        {DOMAIN("", "<input type='passthrough'><source evdev='/x'/></input>"), "'passthrough'"},
        {DOMAIN("", "<input type='evdev'><source dev='/dev/input/event0'/></input>"), "evdev"},
        {DOMAIN("", "<graphics type='vnc' port='-1' autoport='yes'/>"), NULL},
        {DOMAIN("", "<graphics type='vnc' listen='127.0.0.1' passwd='s3cret'/>"), NULL},
        {DOMAIN("", "<graphics type='vnc' listen='0.0.0.0'/>"), "listen='0.0.0.0'"},
        {DOMAIN("", "<graphics type='vnc'><listen type='address' address='::'/></graphics>"),
         "address='::'"},
        {DOMAIN("", "<graphics type='vnc'><listen type='socket' socket='/x'/></graphics>"),
         "listen>"},
        {DOMAIN("", "<graphics type='vnc' socket='/x'/>"), "socket of"},
        {DOMAIN("", "<graphics type='vnc' passwd='***'/>"), "masks"},
        {DOMAIN("", "<graphics type='sdl'/>"), "type='sdl'"},
        {DOMAIN("", "<graphics type='egl-headless'><gl rendernode='/dev/dri/x'/></graphics>"),
         "egl-headless"},
        {DOMAIN("", "<graphics type='spice'><gl enable='no' rendernode='/x'/></graphics>"),
         "rendernode of"},
        {DOMAIN("", "<audio id='1' type='oss'/>"), "type='oss'"},
        {DOMAIN("", "<video><model type='virtio'/><driver name='vhostuser'/></video>"),
         "name='vhostuser'"},
        {DOMAIN("", "<video><model type='virtio'><acceleration rendernode='/x'/></model></video>"),
         "rendernode of"},
        {DOMAIN("", "<watchdog model='itco' action='dump'/>"), "action='dump'"},
        {DOMAIN("", "<memory model='nvdimm'><source><path>/x</path></source></memory>"),
         "<devices/memory>"},
        {DOMAIN("", "<shmem name='x'/>"), "<devices/shmem>"},
        {DOMAIN("", "<vsock model='virtio'/>"), "<devices/vsock>"},
        {DOMAIN("", "<smartcard mode='host'/>"), "<devices/smartcard>"},
        {DOMAIN("", "<redirdev bus='usb' type='tcp'/>"), "type='tcp'"},
        {DOMAIN("", "<nvram/>"), "<devices/nvram>"},
        {DOMAIN("", "<crypto model='virtio'/>"), "<devices/crypto>"},
    };

    try_all(cases, G_N_ELEMENTS(cases));
}

/* As virt-install writes it, with all that a desktop or a server gets. */
static void
test_real(void)
{
    g_autofree char *path =
        g_test_build_filename(G_TEST_DIST, "fuzz/corpus/definition/virt-install.xml", NULL);
    g_autofree char *xml = NULL;
    g_autofree char *masked = NULL;
    g_autoptr(GError) error = NULL;

    g_assert_true(g_file_get_contents(path, &xml, NULL, &error));
    try_all(&(const Case){xml, NULL}, 1);
    masked = mig_definition_mask(xml);
    g_assert_nonnull(strstr(xml, "passwd=\"secret\""));
    g_assert_null(strstr(masked, "secret"));
    g_assert_nonnull(strstr(masked, "passwd=\"***\""));
}

static void
test_mask(void)
{
    static const char plain[] = " <domain ><name>web</name></domain>\n\n";
    g_autofree char *same = mig_definition_mask(plain);
    g_autofree char *both = mig_definition_mask(
        DOMAIN("", "<graphics passwd='a&amp;b'/><graphics type='spice' passwd='cd'/>"));

    g_assert_cmpstr(same, ==, plain);
    g_assert_null(strstr(both, "a&"));
    g_assert_null(strstr(both, "cd"));
    /* what cannot be read cannot be masked */
    g_assert_null(mig_definition_mask("<domain><graphics passwd='secret'>"));
}

/* A refusal is shown and logged: it never quotes a password. */
static void
test_quiet(void)
{
    static const char *const cases[] = {
        DOMAIN("", "<graphics type='vnc' passwd='s3cret' listen='0.0.0.0'/>"),
        DOMAIN("", "<graphics type='rdp' passwd='s3cret'/>"),
        DOMAIN("", "<disk type='network'><auth username='u' passwd='s3cret'/></disk>"),
        DOMAIN("", "<input passwd='s3cret'/>"),
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(MigDefinition) definition = mig_definition_parse(cases[i], NULL);

        g_assert_nonnull(definition->problem);
        g_assert_null(strstr(definition->problem, "s3cret"));
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vet/domain", test_domain);
    g_test_add_func("/vet/disks", test_disks);
    g_test_add_func("/vet/devices", test_devices);
    g_test_add_func("/vet/real", test_real);
    g_test_add_func("/vet/mask", test_mask);
    g_test_add_func("/vet/quiet", test_quiet);
    return g_test_run();
}
