#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# libitls as it is installed: what it exports and needs, its pkg-config file,
# header and man pages, and programs built with them.  What the functions do is
# tests/unit/test_libitls.c.
#
# Needs ITLS_BIN, the folder with the built programs and libraries.
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib/tap.sh"
top=$(cd "$here/../.." && pwd)
bin=$(cd "${ITLS_BIN:?is the folder with the built programs}" && pwd)
root=$tmp/root
prefix=/opt/itls
lib=$root$prefix/lib

install_it() { make -C "$top/userspace" O="$bin" DESTDIR="$root" PREFIX="$prefix" SYSCONFDIR="$prefix/etc" install; }

declared() { sed -n 's/^[a-z].*[ *]\(itls_[a-z_]*\)(.*/\1/p' "$root$prefix/include/itls.h" | sort; }
exported() { nm -D --defined-only "$lib/libitls.so.0" | awk '{ print $3 }' | sort; }
archived() { nm --defined-only --extern-only "$lib/libitls.a" | awk 'NF == 3 { print $3 }' | sort; }

exports_what_it_declares() { [ "$(declared | wc -l)" -gt 5 ] && is "$(exported)" "$(declared)"; }
archives_what_it_declares() { is "$(archived)" "$(declared)"; }

dynamic() { readelf -d "$lib/libitls.so" | sed -n "s/.*($1).*\[\(.*\)\]/\1/p"; }

pages_of_all() {
	local name
	for name in itls libitls $(declared); do
		# man follows the one line that each has
		MANPATH=$root$prefix/share/man man -l "$root$prefix/share/man/man3/$name.3" >"$tmp/page" 2>&1 &&
			[ -s "$tmp/page" ] || { echo "$name: $(cat "$tmp/page")"; return 1; }
		grep -qw "$name" "$root$prefix/share/man/man3/libitls.3" || { echo "$name is not described"; return 1; }
	done
}

flags() { PKG_CONFIG_LIBDIR=$lib/pkgconfig pkg-config --define-variable=prefix="$root$prefix" --"$1" libitls; }

pkg_config_names_folders() {
	# shellcheck disable=SC2046 # flags are words
	is "$(printf '%s ' $(flags cflags) $(flags libs))" "-I$prefix/include -L$prefix/lib -litls "
}

# The paths of the file are those of the installed system; here, of $root.
rooted() { flags "$1" | sed "s|-\([IL]\)$prefix|-\1$root$prefix|g"; }

write_program() {
	cat >"$tmp/program.c" <<-'END'
		#include <errno.h>
		#include <stdio.h>
		#include <itls.h>

		int main(void)
		{
			struct itls_client client = { 0 };
			struct itls_info info;

			printf("%s %s\n", itls_verify_text(ITLS_VERIFY_EXPIRED), itls_alert_name(40));
			return itls_connect(-1, &client, sizeof(client)) != -EINVAL ||
			       itls_info(-1, &info, sizeof(info)) != -EBADF ||
			       itls_listen(-1, NULL) != -EBADF;
		}
	END
}

# builds COMMAND…: a program that says what is expected of it
builds() {
	# shellcheck disable=SC2046 # flags are words
	"$@" -Wall -Wextra -Werror $(rooted cflags) -o "$tmp/program" "$tmp/program.c" $(rooted libs) || return 1
	LD_LIBRARY_PATH=$lib "$tmp/program" >"$tmp/said" || { echo "status $?"; return 1; }
	is "$(cat "$tmp/said")" "the certificate has expired handshake_failure"
}

builds_with_archive() {
	# shellcheck disable=SC2046
	gcc $(rooted cflags) -o "$tmp/program" "$tmp/program.c" "$lib/libitls.a" &&
		! readelf -d "$tmp/program" | grep libitls && "$tmp/program"
}

# What a program calls must not be found inside.
internals_are_hidden() {
	printf '%s\n' 'void *itls_cipher_find(unsigned short);' 'int main(void) { return !itls_cipher_find(51); }' \
		>"$tmp/inside.c"
	gcc -o "$tmp/inside" "$tmp/inside.c" "$top/userspace/libitls/cipher.c" \
		-I"$top/include/uapi" "$lib/libitls.a" || return 1
	! gcc -o "$tmp/inside" "$tmp/inside.c" "$lib/libitls.a" 2>/dev/null &&
		! gcc -o "$tmp/inside" "$tmp/inside.c" -L"$lib" -litls 2>/dev/null
}

ok "it installs" install_it || exit 1
ok "exports what the header declares" exports_what_it_declares
ok "the archive too" archives_what_it_declares
ok "what is inside stays inside" internals_are_hidden
ok "soname" is "$(dynamic SONAME)" libitls.so.0
ok "needs libc and no more" is "$(dynamic NEEDED)" libc.so.6
ok "the pkg-config file names the installed folders" pkg_config_names_folders
ok "each function has its man page" pages_of_all
write_program
ok "a C program" builds gcc
ok "a C11 program, pedantic" builds gcc -std=c11 -pedantic
if command -v g++ >/dev/null; then
	ok "a C++ program" builds g++ -x c++ -Wno-missing-field-initializers
else
	skip "a C++ program" "no g++"
fi
ok "a program that carries the library" builds_with_archive
ok "itlsctl runs without it" sh -c "! readelf -d $bin/itlsctl | grep libitls"
