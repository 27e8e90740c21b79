#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# itlsctl get without the module: itlsctl/fake_tls.c plays the handshake, and
# the connection stays plain TCP to a server that is itlsctl/httpd.py.
#
#   netns of our own:  get ── fake_tls.so ── lo ── httpd.py (127.0.0.1, ::1)
#
# Needs root and ITLS_BIN, the folder with the built itlsctl.
if [ -z "${ITLSCTL_TEST_NS:-}" ]; then
	ITLS_BIN=$(cd "${ITLS_BIN:?is the folder with the built programs}" && pwd)
	export ITLS_BIN ITLSCTL_TEST_NS=1
	exec unshare --net bash "$0" "$@"
fi
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib/tap.sh"
top=$(cd "$here/../.." && pwd)
ctl=$ITLS_BIN/itlsctl
export FAKE_LOG=$tmp/fake.log
umask 022

# serve ADDRESS: the port comes back in $port
serve() {
	rm -f "$tmp/port"
	mkfifo "$tmp/port"
	python3 "$here/itlsctl/httpd.py" "$tmp/data" "$tmp/requests" "$1" >"$tmp/port" 2>"$tmp/server.err" &
	pids+=($!)
	port=''
	read -r port <"$tmp/port"
	[ -n "$port" ] || { cat "$tmp/server.err"; return 1; }
}

# get ARGUMENT…: in an empty folder; $rc, $tmp/out, $tmp/err
get() {
	: >"$FAKE_LOG"
	: >"$tmp/requests"
	(cd "$tmp/dir" && LD_PRELOAD=$tmp/fake.so timeout 60 "$ctl" get "$@") >"$tmp/out" 2>"$tmp/err"
	rc=$?
}
fresh() { rm -rf "$tmp/dir"; mkdir "$tmp/dir"; }
url() { echo "https://${host:-127.0.0.1}:$port/$1"; }

show() { echo "status $rc"; head -c 2000 "$tmp/out" "$tmp/err"; }
err_has() { grep -qF -e "$1" "$tmp/err" || { show; return 1; }; }
rc_is() { [ "$rc" = "$1" ] || { show; return 1; }; }

# saves PATH [FILE] [OPTION…]: every byte arrives, without a word on stderr
saves() {
	local path=$1 file=${2:-$1}
	fresh
	get "${@:3}" "$(url "$path")"
	rc_is 0 && cmp "$tmp/data" "$tmp/dir/$file" && { [ ! -s "$tmp/err" ] || { show; false; }; }
}

# fails STATUS TEXT OPTION…: so, says so, and does not claim success
fails() {
	local want=$1 text=$2
	shift 2
	fresh
	get "$@"
	rc_is "$want" && err_has "$text" && { [ ! -s "$tmp/out" ] || { show; false; }; }
}
fails_at() { fails 1 "$2" "${@:3}" "$(url "$1")"; }
leaves_nothing() { fails_at "$@" && is "$(ls -A "$tmp/dir")" ""; }

# leaves PATH BYTES TEXT: fails, keeps what came and says how to go on
leaves() {
	fails_at "$1" "$3" || return 1
	is "$(stat -c %s "$tmp/dir/$1")" "$2" && err_has "the first $2 bytes are kept in $1: continue with -c" &&
		cmp -n "$2" "$tmp/data" "$tmp/dir/$1"
}

json() {
	rc_is "$1" && python3 -c "import json, sys
d = json.load(open(sys.argv[1]))
sys.exit(not ($2))" "$tmp/out" || { show; return 1; }
}

ip link set lo up
# shellcheck disable=SC2046 # flags are words
gcc -Wall -Wextra -Werror -D_GNU_SOURCE -I"$top/include/uapi" -shared -fPIC -o "$tmp/fake.so" \
	"$here/itlsctl/fake_tls.c" -ldl || bail "the stand-in for the module does not build"
head -c 300000 /dev/urandom >"$tmp/data"
fresh
serve ::1 && port6=$port
serve 127.0.0.1 || bail "the server does not start"

# ---- the command line ----

ok "help" sh -c "'$ctl' get --help | grep -q 'Usage: itlsctl get URL'"
ok "a URL is needed" fails 2 "which URL?"
ok "one is" fails 2 "unexpected argument 'b'" https://a/a b
ok "an unknown option" fails 2 "--frob" --frob https://a/a
ok "http is refused" fails 2 "http is not encrypted" http://localhost/file
ok "ftp is refused" fails 2 "only https is fetched" ftp://localhost/file
ok "a URL without host" fails 2 "the host is missing" https:///file
ok "a URL without a file's name" fails 2 "give one with -o FILE" https://localhost/
ok "a URL whose file is standard output" fails 2 "give one with -o FILE" https://localhost/-
ok "a certificate without key" fails 2 "go together" --cert x https://a/a
ok "a key without certificate" fails 2 "go together" --key x https://a/a
ok "a bad profile" fails 2 "bad profile name" --profile a/b https://a/a
for bad in 0 x 86401; do ok "timeout '$bad'" fails 2 "bad timeout" --timeout "$bad" https://a/a; done
ok "continuing standard output" fails 2 "cannot be continued" -c -o - https://a/a
ok "JSON and the file on standard output" fails 2 "shared with --json" --json -o - https://a/a

# ---- bodies ----

for path in file bare chunked close; do ok "body: $path" saves $path; done
head -c 300 "$tmp/data" >"$tmp/small"
small_pieces() { fresh; get "$(url bytes)"; rc_is 0 && cmp "$tmp/small" "$tmp/dir/bytes"; }
ok "body: chunks of seven bytes, one byte a packet" small_pieces
empty() { fresh; get "$(url empty)"; rc_is 0 && is "$(stat -c %s "$tmp/dir/empty")" 0; }
ok "body: none" empty
interim() { fresh; get "$(url interim)"; rc_is 0 && is "$(cat "$tmp/dir/interim")" abc; }
ok "answers 1xx before the answer" interim
ok "the body is spliced" grep -q '^spliced$' <(saves file && cat "$FAKE_LOG")
FAKE_NO_SPLICE=1 ok "or copied" saves file
FAKE_NO_SPLICE=1 ok "chunks too" saves chunked
ok "-o names the file" saves file other -o other
ok "percent form in a file's name" saves 'x%20y/file?z'  file
to_stdout() { fresh; get -o - "$(url "$1")"; rc_is 0 && cmp "$tmp/data" "$tmp/out" && is "$(ls -A "$tmp/dir")" ""; }
ok "-o - is standard output" to_stdout file
ok "the same, chunked" to_stdout chunked
appended() {
	echo before >"$tmp/appended"
	LD_PRELOAD=$tmp/fake.so "$ctl" get -o - "$(url file)" >>"$tmp/appended" || return 1
	{ echo before; cat "$tmp/data"; } | cmp - "$tmp/appended"
}
ok "standard output that appends" appended
piped() { LD_PRELOAD=$tmp/fake.so "$ctl" get -o - "$(url chunked)" | cmp - "$tmp/data"; }
ok "standard output that is a pipe" piped
disk_full() { fresh; get -o /dev/full "$(url file)"; rc_is 1 && err_has "cannot write /dev/full: No space left on device"; }
ok "a full disk" disk_full
no_folder() { fails 1 "cannot write no/such: No such file" -o no/such "$(url file)"; }
ok "a folder that is not there" no_folder
result_line() { fresh; get "$(url file)"; grep -q '^file: 300000 bytes, in [0-9.]* seconds, ' "$tmp/out"; }
ok "the result is told" result_line
silent() { fresh; get -q "$(url file)"; rc_is 0 && [ ! -s "$tmp/out" ] && [ ! -s "$tmp/err" ]; }
ok "-q tells nothing" silent

# ---- bodies that end early, answers that are none ----

ok "shorter than its length" leaves short 300000 "ended the connection before all of the file had come"
ok "chunks that end early" fails_at shortchunk "ended the connection before all of the file had come"
ok "no last chunk" leaves nolastchunk 300000 "ended the connection before all of the file had come"
ok "a cut stream is not its end" leaves cut 100000 "was cut before its TLS end"
ok "a cut stream with a length" leaves cutlength 100000 "was cut before its TLS end"
FAKE_NO_SPLICE=1 ok "the same, copied" leaves cut 100000 "was cut before its TLS end"
FAKE_ALERT=80 ok "an alert is named" fails_at cut "TLS alert 80 (internal_error)"
FAKE_ALERT=116 ok "an alert that wants a certificate" fails_at cut "with --cert and --key"
stalls() { fails_at stall "nothing moved for 1 seconds" --timeout 1 && err_has "the first 100 bytes are kept in stall"; }
ok "nothing moves" stalls
ok "a chunk longer than it said" fails_at chunklong "a chunk is longer than it said"
ok "a chunk's size that is none" fails_at chunksize "a chunk's size is no number"
ok "a chunk's size too large" fails_at chunkhuge "a chunk's size is too large"
ok "a chunk's size below zero" fails_at chunknegative "a chunk's size is no number"
ok "a chunk's head too long" fails_at chunkline "a chunk's head is too long"
ok "endless trailers" fails_at trailers "what follows the last chunk is too long"
ok "a head too long" leaves_nothing bighead "its head is longer than 32768 bytes"
ok "a NUL in the head" leaves_nothing nul "it has a NUL byte"
ok "two lengths" leaves_nothing twolengths "it has two lengths"
ok "a coding that was not asked for" leaves_nothing gzip "Transfer-Encoding"
ok "another protocol" leaves_nothing nothttp "it does not begin as HTTP/1.1 does"
ok "no answer" leaves_nothing nothing "ended the connection without an answer"
ok "half an answer" leaves_nothing half "ended the connection without a whole answer"
ok "nothing but 1xx" leaves_nothing onlyinterim "nothing but status 100"
ok "404" leaves_nothing notfound "the server answered 404 Not Found for https://127.0.0.1:$port/notfound"
ok "204" leaves_nothing nocontent "the server answered 204 No Content"
ok "a reason with terminal commands" leaves_nothing evil "500 ?[2Jx"
not_touched() { fresh; echo mine >"$tmp/dir/notfound"; get "$(url notfound)"; rc_is 1 && is "$(cat "$tmp/dir/notfound")" mine; }
ok "a refusal leaves the file that is there" not_touched

# ---- continuing ----

# holds BYTES FILE: the beginning is there
holds() { fresh; head -c "$1" "$tmp/data" >"$tmp/dir/$2"; }
continued() {
	holds 123456 range
	get -c "$(url range)"
	rc_is 0 && cmp "$tmp/data" "$tmp/dir/range" && grep -q '|bytes=123456-$' "$tmp/requests" &&
		grep -q '^range: 300000 bytes, of these 176544 now' "$tmp/out"
}
ok "-c fetches the rest" continued
only_rest() { printf x | dd of="$tmp/dir/range" conv=notrunc status=none; truncate -s 200000 "$tmp/dir/range"
	get -c "$(url range)"; rc_is 0 && is "$(head -c 1 "$tmp/dir/range")" x; }
ok "and only that" only_rest
complete() { holds 300000 range; get -c "$(url range)"; rc_is 0 && grep -q "was complete already, 300000 bytes" "$tmp/out" && cmp "$tmp/data" "$tmp/dir/range"; }
ok "-c of a complete file" complete
longer() { holds 300000 range; echo more >>"$tmp/dir/range"; get -c "$(url range)"; rc_is 1 && err_has "it is another file" && is "$(stat -c %s "$tmp/dir/range")" 300005; }
ok "-c of another file" longer
anew() { fresh; get -c "$(url range)"; rc_is 0 && cmp "$tmp/data" "$tmp/dir/range" && grep -q '|$' "$tmp/requests"; }
ok "-c of no file" anew
restarted() { fresh; head -c 400000 /dev/zero >"$tmp/dir/norange"; get -c "$(url norange)"; rc_is 0 && cmp "$tmp/data" "$tmp/dir/norange" && grep -q "from the beginning" "$tmp/out"; }
ok "-c of a server that cannot" restarted
wrong() { holds 100 "$1"; get -c "$(url "$1")"; rc_is 1 && err_has "$2" && is "$(stat -c %s "$tmp/dir/$1")" 100; }
ok "another part than was asked for" wrong wrongrange "a part of the file that was not asked for"
ok "416 without a length" wrong rangeless "does not say how long the file is"
unasked() { leaves_nothing wrongrange "a part of the file that was not asked for"; }
ok "a part though all was asked for" unasked
after_cut() { fresh; get "$(url cut)"; rc_is 1 && mv "$tmp/dir/cut" "$tmp/dir/range" && get -c "$(url range)" && cmp "$tmp/data" "$tmp/dir/range"; }
ok "a cut download is continued" after_cut
device() { fails 1 "is no regular file" -c -o /dev/null "$(url range)"; }
ok "-c of a device" device

# ---- redirects ----

ok "relative" saves 'a/b/relative' relative
asked_for() { grep -q "^GET $1 HTTP/1.1|$2|" "$tmp/requests" || { cat "$tmp/requests"; return 1; }; }
ok "is what it means" asked_for '/a/file?y' "127.0.0.1:$port"
ok "absolute" saves absolute
ok "names the other host" asked_for /file "localhost:$port"
ok "a circle ends" leaves_nothing loop "they go in a circle"
eleven() { is "$(wc -l <"$tmp/requests")" 11; }
ok "after ten redirects" eleven
ok "to http is refused" leaves_nothing tohttp "http is not encrypted"

# ---- connecting ----

ok "a port where nobody listens" fails 1 "cannot connect to 127.0.0.1 (127.0.0.1:1): Connection refused" https://127.0.0.1:1/x
ok "a name that is none" fails 1 "cannot find the address of nobody.invalid" https://nobody.invalid/x
host=both.test ok "every address of a name is tried" saves file
ok "and the last one named" fails 1 "cannot connect to both.test (127.0.0.1:1) nor to its other addresses: Connection refused" \
	https://both.test:1/x
if [ -n "${port6-}" ]; then
	literal() { port=$port6 host='[::1]' saves file && asked_for /file "\[::1\]:$port6" && grep -q 'connect default ::1 ' "$FAKE_LOG"; }
	ok "an IPv6 literal" literal
	first_address() { port=$port6 host=both.test saves file; }
	ok "the first address that answers will do" first_address
else
	skip "an IPv6 literal" "no IPv6 here"
fi
default_port() { fails 1 "127.0.0.1:443" https://127.0.0.1/x; }
ok "the usual port" default_port

# ---- the handshake ----

no_module() { FAKE_ULP_ERRNO=2 fails_at file "kernel module itls is not loaded: run 'modprobe itls'"; }
ok "no module" no_module
handshake() { FAKE_CONNECT_ERRNO=$1 leaves_nothing file "$2" "${@:3}"; }
ok "no such profile" handshake 2 "no client profile 'mine'" --profile mine
ok "a profile of others" handshake 13 "client profile 'default' is not for this user"
ok "nobody there" handshake 103 "'itlsctl doctor' tells whether itlsd runs"
ok "not TLS" handshake 71 "does not speak TLS on this port"
ok "reset" handshake 104 "ended the connection during the handshake"
ok "too long" handshake 110 "the TLS handshake took too long"
FAKE_HANG=1 ok "without end" fails_at file "the TLS handshake took too long" --timeout 1
FAKE_ALERT=40 ok "an alert" handshake 71 "refused the handshake with TLS alert 40 (handshake_failure)"
FAKE_ALERT=50 ok "an alert that may want a certificate" handshake 71 "give one that it accepts with --cert and --key"
FAKE_ALERT=112 ok "an alert with advice" handshake 71 "it serves no host of that name"
refused() { FAKE_VERIFY=$1 handshake 129 "the server's certificate was refused: $2"; }
n=2
while read -r text; do
	ok "certificate: $text" refused $n "$text"
	n=$((n + 1))
done <<'END'
no trusted authority issued the certificate: if you trust who issued it, give that authority's certificate with --ca
the certificate has expired: check this machine's clock
the certificate is not valid yet: check this machine's clock
the certificate is for another name: use the name
the certificate's key is too weak
the certificate is signed with a weak algorithm
the certificate is not meant for this side of TLS
the certificate was revoked by its issuer: do not use
a certificate was required and none was sent
the certificate or its chain is forged or malformed
END
FAKE_SUBJECT=$(printf 'CN=a b\033') ok "the subject is shown, safely" refused 5 'the certificate is for another name, subject CN=a\x20b\x1b: use'
ok "no reason known" refused 0 "the log of itlsd(8) says why"
requests_none() { [ ! -s "$tmp/requests" ] || { cat "$tmp/requests"; return 1; }; }
ok "and nothing was asked of it" requests_none
FAKE_ALPN=h2 ok "another protocol was agreed on" leaves_nothing file "protocol h2 was agreed on"

# ---- PEM ----

pem() { printf -- '-----BEGIN %s-----\nAAAA\n-----END %s-----\n' "$1" "$1" >"$tmp/$2"; chmod 600 "$tmp/$2"; }
pem CERTIFICATE ca
pem CERTIFICATE cert
pem "PRIVATE KEY" key
pem "ENCRYPTED PRIVATE KEY" encrypted
pem "EC PRIVATE KEY" eckey
handed() { saves file file --ca "$tmp/ca" --cert "$tmp/cert" --key "$tmp/$1" --profile p && grep -q "^connect p 127.0.0.1 ca=[1-9][0-9]* cert=[1-9][0-9]* key=[1-9]" "$FAKE_LOG"; }
ok "CA, certificate and key are handed over" handed key
ok "a key of an older form" handed eckey
readable() { chmod 644 "$tmp/key"; fresh; get --cert "$tmp/cert" --key "$tmp/key" "$(url file)"; chmod 600 "$tmp/key"; rc_is 0 && err_has "warning: everybody on this machine can read the key"; }
ok "a key that everybody can read" readable
ok "an encrypted key" leaves_nothing file "encrypted with a passphrase" --cert "$tmp/cert" --key "$tmp/encrypted"
ok "a key that is a certificate" leaves_nothing file "holds no private key in PEM form" --cert "$tmp/cert" --key "$tmp/cert"
ok "a CA that is none" leaves_nothing file "holds no certificate in PEM form" --ca "$tmp/key"
ok "a CA that is not there" leaves_nothing file "cannot open the CA file" --ca "$tmp/nothing"
head -c 40000 /dev/zero | tr '\0' A >>"$tmp/ca"
ok "a bundle too large" leaves_nothing file "use --profile" --ca "$tmp/ca"
own_host_only() {
	fresh
	get --cert "$tmp/cert" --key "$tmp/key" "https://localhost:$port/otherhost"
	cat "$FAKE_LOG"
	rc_is 0 && grep -q '^connect default localhost ca=0 cert=[1-9]' "$FAKE_LOG" &&
		grep -q '^connect default 127.0.0.1 ca=0 cert=0 key=0' "$FAKE_LOG"
}
ok "another host gets no client certificate" own_host_only
same_host_too() { fresh; get --cert "$tmp/cert" --key "$tmp/key" "$(url a/relative)"; is "$(grep -c 'cert=[1-9]' "$FAKE_LOG")" 2; }
ok "the same one does" same_host_too

# ---- what is told ----

verbose() { fresh; FAKE_RESUMED=$1 FAKE_ALPN=http/1.1 FAKE_SUBJECT=CN=x get -v "$(url file)"; err_has "* 127.0.0.1 (127.0.0.1:$port): TLSv1.3, AES-128-GCM, $2 session, the certificate is valid, subject CN=x, ALPN http/1.1" && err_has "200 OK"; }
ok "-v tells of TLS" verbose 0 new
ok "-v tells of resumption" verbose 1 resumed
as_json() { fresh; FAKE_RESUMED=1 FAKE_SUBJECT=CN=x get --json "https://localhost:$port/absolute"; }
as_json
ok "--json" json 0 "d.pop('seconds') > 0 and d == {'ok': True, 'url': 'https://localhost:$port/file', 'file': 'absolute', 'status': 200, 'size': 300000, 'received': 300000, 'continued': False, 'redirects': 1, 'peer': '127.0.0.1:$port', 'version': 'TLSv1.3', 'cipher': 'AES-128-GCM', 'resumed': True, 'verify': 'ok', 'peer_subject': 'CN=x', 'alpn': None}"
holds 1000 range
get -c --json "$(url range)"
ok "--json of the rest" json 0 "d['size'] == 300000 and d['received'] == 299000 and d['continued'] and d['status'] == 206"
fresh
FAKE_CONNECT_ERRNO=129 FAKE_VERIFY=3 get --json "$(url file)"
ok "--json of a refusal" json 1 "not d['ok'] and d['verify'] == 'expired' and d['error']['code'] == 'EKEYREJECTED' and 'has expired' in d['error']['message']"
get --json "$(url short)"
ok "--json of a failure" json 1 "not d['ok'] and d['verify'] is None and d['error']['code'] == 'ENODATA'"

# terminal COLUMNS PATH OPTION…: what a terminal gets, each drawing a line
terminal() {
	fresh
	(cd "$tmp/dir" && LD_PRELOAD=$tmp/fake.so python3 "$here/itlsctl/terminal.py" "$1" "$ctl" get "${@:3}" "$(url "$2")") \
		>"$tmp/out" 2>"$tmp/raw"
	rc=$?
	tr '\r' '\n' <"$tmp/raw" | sed 's/\x1b\[K//g' >"$tmp/err"
}
bar_grows() {
	terminal 100 slow
	rc_is 0 && cmp "$tmp/data" "$tmp/dir/slow" || return 1
	[ "$(grep -c '^slow .*% \[=*>* *\]' "$tmp/err")" -ge 4 ] || { show; return 1; }
	grep -q '^slow  *[1-9][0-9]% \[==*> *\]  *[0-9.]*K  *[0-9.]*[KM]/s  ETA 0m0[0-9]s$' "$tmp/err" &&
		grep -q '^slow 100% \[=*\]  *293K  *[0-9.]*K/s  in 0m01s$' "$tmp/err" || { show; return 1; }
}
ok "a bar on a terminal" bar_grows
fits() { is "$(awk -v max="$1" 'length > max' "$tmp/err" | wc -l)" 0 || { show; return 1; }; }
ok "that fits on a line" fits 99
narrow() { terminal 40 slow && fits 39; }
ok "of a narrow terminal" narrow
no_total() { terminal 100 slowclose; rc_is 0 && grep -q '^slowclose  *293K .* in 0m01s$' "$tmp/err" && ! grep -q '%' "$tmp/err" || { show; return 1; }; }
ok "without a length there is no percentage" no_total
quiet_terminal() { terminal 100 slow -q; rc_is 0 && [ ! -s "$tmp/raw" ]; }
ok "-q draws none" quiet_terminal
hostile_name() {
	terminal 100 slow -o "$(printf 'a\033[2Jb')"
	rc_is 0 && grep -qF 'a\x1b[2Jb ' "$tmp/raw" && ! grep -qF "$(printf '\033[2J')" "$tmp/raw" "$tmp/out"
}
ok "a file's name cannot command the terminal" hostile_name
