# SPDX-License-Identifier: LGPL-2.1-or-later
# The libvirt definition of a lab guest.
#
# Machine type and CPU model are spelled out in full: both ends of a move must give the guest the
# same machine. No graphics, no balloon, no USB, no local file: nothing that would hinder or slow a
# move.
# shellcheck shell=bash disable=SC2034,SC2154 # parts of one program share their variables

MACHINE=pc-i440fx-7.2

lease_xml() {
    cat <<END
    <lease>
      <lockspace>$1</lockspace>
      <key>$2</key>
      <target path='$3' offset='$4'/>
    </lease>
END
}

cpu_xml() {
    if [[ $1 == kvm ]]; then
        echo "  <cpu mode='host-model' check='partial'/>"
    else
        echo "  <cpu mode='custom' match='exact' check='none'><model fallback='forbid'>qemu64</model></cpu>"
    fi
}

# A serial number may not hold what XML needs quoted; a VM's name neither.
print_domain() {
    local name=$1 disk=$2 memory=$3 suffix=$4 lease=$5 accel type=qemu
    accel=${GUEST_ACCEL:-$("$lab_dir/lib/accel")}
    [[ $accel != kvm ]] || type=kvm
    cat <<END
<domain type='$type'>
  <name>$name</name>
  <memory unit='MiB'>$memory</memory>
  <vcpu>1</vcpu>
  <sysinfo type='smbios'><system><entry name='serial'>$name</entry></system></sysinfo>
  <os>
    <type arch='x86_64' machine='$MACHINE'>hvm</type>
    <boot dev='hd'/>
    <smbios mode='sysinfo'/>
  </os>
  <features><acpi/><apic/></features>
$(cpu_xml "$accel")
  <clock offset='utc'/>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='block' device='disk'>
      <driver name='qemu' type='raw' cache='none' io='native' discard='unmap'/>
      <source dev='$disk'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <controller type='usb' model='none'/>
    <interface type='bridge'>
      <mac address='52:54:00:77:02:$(printf '%02x' "$suffix")'/>
      <source bridge='br-guest'/>
      <model type='virtio'/>
    </interface>
    <serial type='file'>
      <source path='/var/log/libvirt/qemu/$name.console'/>
      <target port='0'/>
    </serial>
    <memballoon model='none'/>
$lease  </devices>
</domain>
END
}

cmd_vm_xml() {
    (($# >= 2)) || die "usage: lab vm-xml NAME DISK [--memory MIB] [--ip-suffix N]" \
        "[--lease LOCKSPACE KEY PATH OFFSET]"
    local name=$1 disk=$2 memory=512 suffix=10 lease=""
    shift 2
    while (($#)); do
        case $1 in
        --memory) memory=${2:-} && shift 2 ;;
        --ip-suffix) suffix=${2:-} && shift 2 ;;
        --lease)
            (($# >= 5)) || die "--lease takes LOCKSPACE KEY PATH OFFSET"
            lease=$(lease_xml "$2" "$3" "$4" "$5")$'\n'
            shift 5
            ;;
        *) die "unknown option '$1'" ;;
        esac
    done
    [[ $name =~ ^[A-Za-z0-9._-]{1,60}$ ]] ||
        die "a guest's name is made of letters, digits, dot, dash and underscore"
    is_number "$memory" && ((memory >= 128)) || die "--memory takes MiB, at least 128"
    is_number "$suffix" && ((suffix >= 1 && suffix <= 253)) ||
        die "--ip-suffix takes 1 to 253: the guest is $GUEST_NET.N"
    print_domain "$name" "$disk" "$memory" "$suffix" "$lease"
}
