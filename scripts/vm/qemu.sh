# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Trixie's QEMU and virtiofsd: its software emulation of AES is several times
# faster than that of Debian 12.  Unpacked in the cache and started by its own
# ld-linux; what the host has installed is the second choice.

qemu_root=$cache/qemu-trixie

qemu_fetch() {
	[ ! -e "$qemu_root/complete" ] || return 0
	say "fetching QEMU"
	rm -rf "$qemu_root"
	apt_update && apt_closure "$qemu_root" trixie qemu-system-x86 virtiofsd || return 1
	[ -x "$qemu_root/usr/bin/qemu-system-x86_64" ] || return 1
	touch "$qemu_root/complete"
}

qemu_need() {
	[ ! -e "$qemu_root/complete" ] || return 0
	cache_lock qemu qemu_fetch && return 0
	say "taking the QEMU of this release: slower"
	packages_need qemu-system-x86
	[ "$(host_release)" = 12 ] || packages_need virtiofsd
}

# Array qemu_command: how QEMU is started, without the machine.
qemu_prepare() {
	qemu_need
	qemu_command=(qemu-system-x86_64)
	virtiofsd_command=(/usr/libexec/virtiofsd)
	[ -x /usr/libexec/virtiofsd ] || virtiofsd_command=(/usr/lib/qemu/virtiofsd)
	if [ -e "$qemu_root/complete" ]; then
		local load=("$(newer_loader "$qemu_root")" --library-path "$(newer_path "$qemu_root")")
		qemu_command=("${load[@]}" "$qemu_root/usr/bin/qemu-system-x86_64"
			-L "$qemu_root/usr/share/qemu" -L "$qemu_root/usr/share/seabios")
		virtiofsd_command=("${load[@]}" "$qemu_root/usr/libexec/virtiofsd")
	fi
}

# Arguments of virtiofsd; the one of Debian 12 has another grammar.
virtiofsd_arguments() {
	local socket=$1 dir=$2
	case ${virtiofsd_command[-1]} in
	/usr/lib/qemu/virtiofsd)
		echo -f --socket-path="$socket" -o source="$dir" -o cache=always -o log_level=err ;;
	*)
		echo --socket-path="$socket" --shared-dir="$dir" --cache=always \
			--no-announce-submounts --sandbox=chroot --inode-file-handles=never \
			--log-level=error ;;
	esac
}

# Does a guest get as far as its first process with hardware help?  A device
# that opens proves nothing, so boot one, with a time limit.
qemu_kvm_works() {
	local kernel=$1 answer
	[ -w /dev/kvm ] || return 1
	answer=$(timeout -k 2 20 "${qemu_command[@]}" -nodefaults -no-user-config -display none \
		-accel kvm -cpu host -m 256 -no-reboot -serial stdio -kernel "$kernel" \
		-initrd "$2" -append "console=ttyS0 panic=-1 itls.probe=1" </dev/null 2>/dev/null)
	[[ $answer == *itls-probe-ok* ]]
}

# qemu_accel KERNEL INITRD: the arguments; the answer holds until the host reboots.
qemu_accel() {
	local boot answer
	boot=$(cat /proc/sys/kernel/random/boot_id)
	answer=$cache/accel-$boot
	if [ ! -e "$answer" ]; then
		rm -f "$cache"/accel-*
		if qemu_kvm_works "$1" "$2"; then
			echo "-accel kvm -cpu host" >"$answer.$$"
		else
			echo "-accel tcg,thread=multi,tb-size=512 -cpu max" >"$answer.$$"
		fi
		mv "$answer.$$" "$answer"
	fi
	cat "$answer"
}
