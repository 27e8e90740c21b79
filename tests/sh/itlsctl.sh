#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# itlsctl without the module: arguments, exit codes, JSON, refusals, and, with
# the kernel's part played by itlsctl/fake_*.c, what it does when all is well.
#
#   netns "ours"                        netns "theirs"
#   itlsctl ── listeners A, B, C …      listener X, seen by --pid only
#
# Needs root and ITLS_BIN, the folder with the built itlsctl.

set -u
if [ -z "${ITLSCTL_TEST_NS:-}" ]; then
	ITLS_BIN=$(cd "${ITLS_BIN:?is the folder with the built programs}" && pwd)
	export ITLS_BIN ITLSCTL_TEST_NS=1
	exec unshare --net sh "$0" "$@"
fi

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
ctl=$ITLS_BIN/itlsctl
tmp=$(mktemp -d)
chmod 755 "$tmp"
pids=
n=0
failed=0

cleanup() {
	for pid in $pids; do
		kill "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
	done
	rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

ok() {
	n=$((n + 1))
	echo "ok $n - $1"
}

not_ok() {
	n=$((n + 1))
	failed=$((failed + 1))
	echo "not ok $n - $1"
	sed 's/^/# out: /' "$tmp/out"
	sed 's/^/# err: /' "$tmp/err"
}

skip() {
	n=$((n + 1))
	echo "ok $n - $1 # SKIP $2"
}

# check NAME CONDITION...: one test, of a command that was run before
check() {
	name=$1
	shift
	if "$@"; then ok "$name"; else not_ok "$name"; fi
}

# run COMMAND...: keeps out, err and the exit status in $rc
run() {
	"$@" >"$tmp/out" 2>"$tmp/err"
	rc=$?
}

# refused NAME RC TEXT COMMAND...: ends so, with TEXT on stderr, out empty
refused() {
	name=$1 want=$2 text=$3
	shift 3
	run "$@"
	check "$name" ended "$want" "$text"
}

ended() {
	[ "$rc" -eq "$1" ] && grep -qF -e "$2" "$tmp/err" && [ ! -s "$tmp/out" ]
}

rc_is() {
	[ "$rc" -eq "$1" ]
}

out_has() {
	[ "$rc" -eq "$1" ] && grep -qF -e "$2" "$tmp/out"
}

err_lacks() {
	! grep -qF -e "$1" "$tmp/err"
}

out_lacks() {
	! grep -qF -e "$1" "$tmp/out"
}

# json_is RC EXPRESSION: out is JSON d for which the expression is true
json_is() {
	[ "$rc" -eq "$1" ] || return 1
	python3 -m json.tool "$tmp/out" >/dev/null || return 1
	python3 -c "import json, sys
d = json.load(open(sys.argv[1]))
sys.exit(not ($2))" "$tmp/out"
}

# start COMMAND...: a listener; its port comes back in $port, its pid in $pid
start() {
	rm -f "$tmp/port"
	mkfifo "$tmp/port"
	"$@" >"$tmp/port" 2>"$tmp/listen.err" &
	pid=$!
	pids="$pids $pid"
	port=
	read -r port <"$tmp/port"
	[ -n "$port" ]
}

stop() {
	kill "$1"
	wait "$1" 2>/dev/null
}

listen() {
	start python3 "$here/itlsctl/listen.py" "$@"
}

no_terminal_bytes() {
	! LC_ALL=C grep -q "$(printf '[\001-\010\013-\037\177-\377]')" "$tmp/out"
}

ip link set lo up

# ---- arguments ----

refused "no command is a usage error" 2 "Usage: itlsctl COMMAND" "$ctl"
refused "an unknown command is a usage error" 2 "unknown command 'frob'" "$ctl" frob
refused "help of an unknown command is a usage error" 2 "unknown command 'frob'" "$ctl" help frob
run "$ctl" --version
check "--version names the program" out_has 0 "itlsctl "
run "$ctl" help
check "help lists doctor" out_has 0 "  doctor "
for cmd in attach detach sessions rekey stat doctor get; do
	run "$ctl" help $cmd
	cp "$tmp/out" "$tmp/help"
	run "$ctl" $cmd --help
	check "$cmd --help shows its usage" out_has 0 "Usage: itlsctl $cmd"
	check "help $cmd says the same" cmp -s "$tmp/help" "$tmp/out"
	refused "$cmd refuses an unknown option" 2 "--frob" "$ctl" $cmd --frob
	case $cmd in rekey|get) continue ;; esac
	refused "$cmd refuses an argument" 2 "unexpected argument 'frob'" "$ctl" $cmd frob
done
for cmd in attach detach; do
	refused "$cmd needs a port" 2 "--port is needed" "$ctl" $cmd
	for bad in 0 65536 -1 +1 80x "" " 80" 99999999999999999999; do
		refused "$cmd refuses port '$bad'" 2 "bad port" "$ctl" $cmd --port "$bad"
	done
	for bad in 0 -1 x 2147483648; do
		refused "$cmd refuses pid '$bad'" 2 "bad process id" "$ctl" $cmd --port 1 --pid "$bad"
	done
	for bad in "" localhost 1.2.3 "[1.2.3.4]" "[::1" ::g; do
		refused "$cmd refuses address '$bad'" 2 "bad address" "$ctl" $cmd --port 1 --address "$bad"
	done
done
refused "rekey needs a session" 2 "which session?" "$ctl" rekey
refused "rekey takes one session" 2 "unexpected argument '8'" "$ctl" rekey 7 8
for bad in 0 -1 x "" 4294967296 7x; do
	refused "rekey refuses session '$bad'" 2 "" "$ctl" rekey -- "$bad"
	check "and says so" grep -qF "bad session '$bad'" "$tmp/err"
done
name63=$(printf '%063d' 0)
for bad in "" a/b "a b" "${name63}0" "$(printf 'a\nb')" é; do
	refused "attach refuses profile '$(echo "$bad" | tr '\n' '?')'" 2 "bad profile name" \
		"$ctl" attach --port 1 --profile "$bad"
done
refused "attach takes a profile name of 63" 1 "nothing listens" "$ctl" attach --port 1 --profile "$name63"
refused "detach knows no profile" 2 "profile" "$ctl" detach --port 1 --profile x
"$ctl" help >/dev/full 2>"$tmp/err"
rc=$?
: >"$tmp/out"
check "a full disk is a failure" ended 1 "cannot write the output"

# ---- finding the socket ----

refused "attach: nothing listens" 1 "nothing listens on TCP port 1 " "$ctl" attach --port 1
run "$ctl" attach --port 1 --json
check "attach --json: nothing listens" json_is 1 \
	"not d['ok'] and d['error']['code'] == 'ENOENT' and 'nothing listens' in d['error']['message']"
run "$ctl" detach --port 1 --json
check "detach --json: nothing listens" json_is 1 "not d['ok'] and d['error']['code'] == 'ENOENT'"

listen --address 127.0.0.1
port4=$port pid4=$pid
refused "an address of another listener is named" 1 "but 127.0.0.1:$port4 does" \
	"$ctl" attach --port "$port4" --address 0.0.0.0
refused "a process that does not hold the socket" 1 "holds no socket listening on port $port4" \
	"$ctl" attach --port "$port4" --pid $$
stop "$pid4"
refused "a process that is gone" 1 "no process $pid4 in sight" "$ctl" attach --port "$port4" --pid "$pid4"
refused "a listener that is gone" 1 "nothing listens" "$ctl" attach --port "$port4"

start unshare --net sh -c "ip link set lo up; exec python3 '$here/itlsctl/listen.py' --address ::"
refused "a listener in another network namespace is not ours" 1 "nothing listens" "$ctl" attach --port "$port"
run "$ctl" detach --port "$port" --pid "$pid" --json
check "but is found by pid" json_is 0 \
	"d['sockets'][0]['local'] == '[::]:$port' and d['sockets'][0]['pid'] == $pid"

listen --address 127.0.0.1
port4=$port pid4=$pid
refused "another user is told to be root" 1 "run as root" \
	setpriv --reuid 65534 --regid 65534 --clear-groups "$ctl" attach --port "$port4" --pid "$pid4"
refused "the same without a pid" 1 "root" \
	setpriv --reuid 65534 --regid 65534 --clear-groups "$ctl" attach --port "$port4"

if listen --mptcp; then
	refused "a Multipath TCP listener is refused by name" 1 "Multipath TCP" "$ctl" attach --port "$port"
else
	skip "a Multipath TCP listener is refused by name" "no MPTCP in this kernel"
fi

# ---- the real kernel without the module ----

if [ -e /proc/self/net/itls_stat ] || modinfo itls >/dev/null 2>&1; then
	skip "itlsctl without the module" "the module is here"
else
	refused "attach without the module says modprobe" 1 \
		"127.0.0.1:$port4 python3($pid4): kernel module itls is not loaded: run 'modprobe itls'" \
		"$ctl" attach --port "$port4"
	run "$ctl" attach --port "$port4" --json
	check "attach --json without the module" json_is 1 \
		"not d['ok'] and d['sockets'][0]['error']['code'] == 'ENOENT' and d['sockets'][0]['result'] == 'failed'"
	refused "stat without the module says modprobe" 1 "run 'modprobe itls'" "$ctl" stat
	refused "sessions without the module says modprobe" 1 "modprobe itls" "$ctl" sessions
	refused "rekey without the module says modprobe" 1 "modprobe itls" "$ctl" rekey 7
	run "$ctl" stat --json
	check "stat --json without the module" json_is 1 "not d['ok'] and d['error']['code'] == 'ENOENT'"
	run "$ctl" sessions --json
	check "sessions --json without the module" json_is 1 "not d['ok'] and d['error']['code'] == 'ENOENT'"
	run "$ctl" doctor
	check "doctor without the module fails" out_has 1 "FAIL module: "
fi
run "$ctl" detach --port "$port4"
check "detach of what was not attached succeeds" out_has 0 "was not attached"

# ---- the kernel's part played ----

cflags="-Wall -Wextra -Werror -D_GNU_SOURCE -I$top/include/uapi -I$top/userspace"
# shellcheck disable=SC2086 # flags are words
run ${CC:-cc} $cflags -shared -fPIC -o "$tmp/fake.so" "$here/itlsctl/fake_ulp.c" -ldl
check "the stand-in for the ULP builds" rc_is 0
# shellcheck disable=SC2086
run ${CC:-cc} $cflags -o "$tmp/sessions" "$top"/userspace/itlsctl/*.c \
	"$top"/userspace/libitls/[!n]*.c "$here/itlsctl/fake_nl.c" -ljansson
check "the stand-in for netlink builds" rc_is 0

export FAKE_ULP="$tmp/ulp" FAKE_ROOT="$tmp/root"
mkdir -p "$FAKE_ULP" "$FAKE_ROOT/proc/self/net"
stat_file=$FAKE_ROOT/proc/self/net/itls_stat

fake() {
	run env LD_PRELOAD="$tmp/fake.so" "$@"
}

counters() {
	printf 'CurrAgents\t%s\nCurrSessions\t0\nHandshakeDone\t3\nTxBytes\t18446744073709551\nRxBytes\t5\nNovelCounter\t9\n' "$1" >"$stat_file"
}

listen --sockets 3 --workers 4
counters 1
fake "$ctl" attach --port "$port" --json
check "attach marks each of three sockets of five processes" json_is 0 \
	"d['ok'] and [s['result'] for s in d['sockets']] == ['attached'] * 3 and all(s['holders'] == 5 for s in d['sockets'])"
check "no warning with an agent" json_is 0 "d['warnings'] == []"
marks() {
	[ "$(grep -c '^listen' "$FAKE_ULP/log")" -eq 3 ] &&
		[ "$(grep '^listen' "$FAKE_ULP/log" | sort -u | wc -l)" -eq 3 ]
}
check "each socket is marked once" marks
fake "$ctl" attach --port "$port"
check "attach again changes nothing" out_has 0 "was attached already, profile default"
fake "$ctl" attach --port "$port" --profile b.example
check "attach changes the profile" out_has 0 "profile changed from default to b.example"
counters 0
fake "$ctl" attach --port "$port" --profile b.example --json
check "no agent is a warning, once, and not a failure" json_is 0 \
	"len(d['warnings']) == 1 and 'until itlsd runs' in d['warnings'][0]"
fake "$ctl" doctor
check "doctor names the marked listeners" out_has 1 "ok   attached: 3: 127.0.0.1:$port (profile b.example)"
fake "$ctl" detach --port "$port"
check "detach says that connections are plain" out_has 0 "New connections are plain TCP now"
check "detach says what it was" out_has 0 "detached, was profile b.example"
fake "$ctl" detach --port "$port" --json
check "detach again changes nothing" json_is 0 \
	"d['ok'] and [s['result'] for s in d['sockets']] == ['unchanged'] * 3"
FAKE_LISTEN_ERRNO=1 fake "$ctl" attach --port "$port"
check "a refusal of each is a failure" ended 1 "3 of 3 sockets on port $port failed"
check "and says who may" ended 1 "may not mark the listener: run as root"
one=$(find "$FAKE_ULP" -name '[0-9]*' | head -n 1)
echo "smc" >"$one"
counters 1
fake "$ctl" attach --port "$port" --json
check "another ULP fails that socket and no other" json_is 1 \
	"sorted(s['result'] for s in d['sockets']) == ['attached', 'attached', 'failed'] and any('smc' in s['error']['message'] for s in d['sockets'] if 'error' in s)"

# ---- stat ----

fake "$ctl" stat
check "stat groups the counters" out_has 0 "Handshakes"
check "stat shows a counter it does not know" out_has 0 "NovelCounter"
check "stat shows zeros" out_has 0 "CurrSessions"
fake "$ctl" stat --zero-less
zeroless() {
	rc_is 0 && grep -q HandshakeDone "$tmp/out" && ! grep -q CurrSessions "$tmp/out"
}
check "stat --zero-less hides zeros" zeroless
fake "$ctl" stat --json
check "stat --json is an object of all" json_is 0 \
	"d == {'CurrAgents': 1, 'CurrSessions': 0, 'HandshakeDone': 3, 'TxBytes': 18446744073709551, 'RxBytes': 5, 'NovelCounter': 9}"
fake "$ctl" stat --json --zero-less
check "stat --json --zero-less" json_is 0 "'CurrSessions' not in d and len(d) == 5"

# ---- sessions ----

run "$tmp/sessions" sessions
check "sessions shows what was negotiated" out_has 0 "TLSv1.3  AES-256-GCM"
check "sessions shows the role" grep -q '^9  *client  *established' "$tmp/out"
check "sessions shows whom and how much" grep -q \
	'192.0.2.1:50000 *\[::1\]:443 *default *nginx(4242) *http/1.1 *localhost *yes *1m01s *64.0M *78$' "$tmp/out"
check "sessions escapes what strangers wrote" no_terminal_bytes
lines() {
	[ "$(wc -l <"$tmp/out")" -eq "$1" ]
}
check "a newline in a name makes no row" lines 4
run "$tmp/sessions" sessions --long
check "sessions --long has a second line each" lines 7
check "sessions --long shows exact counts" out_has 0 "tx_bytes:67108864"
check "sessions --long shows keys changed" out_has 0 "tx_rekeys:3 rx_rekeys:2"
check "sessions --long shows the peer's certificate" out_has 0 'verify:ok peer_subject:CN=a\x20b,O=\x1b[2J'
check "sessions --long escapes too" no_terminal_bytes
run "$tmp/sessions" sessions --json
check "sessions --json" json_is 0 \
	"d['sessions'][0] == {'id': 7, 'state': 'established', 'role': 'server', 'version': 'TLSv1.3', 'tx_cipher': 'AES-256-GCM', 'rx_cipher': 'AES-256-GCM', 'peer': '192.0.2.1:50000', 'local': '[::1]:443', 'profile': 'default', 'pid': 4242, 'comm': 'nginx', 'alpn': 'http/1.1', 'sni': 'localhost', 'resumed': True, 'verify': 'none', 'peer_subject': None, 'peer_sha256': None, 'age_ms': 61500, 'tx_records': 4097, 'tx_bytes': 67108864, 'rx_records': 1, 'rx_bytes': 78, 'tx_rekeys': 3, 'rx_rekeys': 2}"
check "sessions --json of hostile names" json_is 0 \
	"d['sessions'][1]['sni'] == '\\x1b]0;owned\\x07 \\x9b2J\\nrow' and d['sessions'][1]['alpn'] == '\\\\xff\\\\xfe' and d['sessions'][1]['role'] == 'unknown' and d['sessions'][1]['verify'] == 'unknown'"
check "sessions --json of a client" json_is 0 \
	"[d['sessions'][2][k] for k in ('role', 'verify', 'peer_subject')] == ['client', 'ok', 'CN=a b,O=\\x1b[2J']"
check "sessions --json escapes too" no_terminal_bytes
FAKE_NONE=1 run "$tmp/sessions" sessions --json
check "no session is an empty list" json_is 0 "d == {'sessions': []}"

# ---- rekey ----

run "$tmp/sessions" rekey 7
check "rekey changes a key" out_has 0 "session 7: sending key changed"
check "rekey leaves the peer alone" out_lacks "peer"
run "$tmp/sessions" rekey 7 --peer
check "rekey --peer asks it" out_has 0 "the peer was asked"
run "$tmp/sessions" rekey --json 7 --peer
check "rekey --json" json_is 0 "d == {'ok': True, 'session': 7, 'peer': True}"
refused "rekey of no session" 1 "no session 4294967295 is established" "$tmp/sessions" rekey 4294967295
run "$tmp/sessions" rekey 9 --json
check "rekey --json of no session" json_is 1 "not d['ok'] and d['error']['code'] == 'ESRCH'"
FAKE_REKEY_ERRNO=95 refused "rekey of TLS 1.2" 1 "TLS 1.2 has no way to" "$tmp/sessions" rekey 7
FAKE_REKEY_ERRNO=1 refused "rekey as anybody" 1 "run as root" "$tmp/sessions" rekey 7
FAKE_REKEY_ERRNO=12 refused "rekey of another failure" 1 "fake" "$tmp/sessions" rekey 7
FAKE_OPEN_ERRNO=1 refused "rekey that cannot ask" 1 "fake" "$tmp/sessions" rekey 7

# ---- doctor ----

# an installation of its own, with an itlsd that says what the test wants
mkdir "$tmp/bin"
cp "$ctl" "$tmp/bin/"
itlsd() {
	printf '#!/bin/sh\nprintf "%%s " "$@" >"%s/args"\n%s\n' "$tmp" "$1" >"$tmp/bin/itlsd"
	chmod 755 "$tmp/bin/itlsd"
}
crypto() {
	printf 'name         : gcm(aes)\ndriver       : gcm_base(ctr(aes-generic),ghash-generic)\nselftest     : passed\npriority     : 100\n\nname         : %s\ndriver       : %s\nselftest     : %s\npriority     : 400\n' "$1" "$2" "$3" >"$FAKE_ROOT/proc/crypto"
}
crypto "gcm(aes)" generic-gcm-aesni passed
itlsd 'exit 0'
old=
case $(uname -r) in [1-5].*|6.[0-9].*|6.1[01].*) old=1 ;; esac
fake "$tmp/bin/itlsctl" doctor
if [ -n "$old" ]; then
	skip "doctor is content" "this kernel is too old for itls"
else
	check "doctor is content" rc_is 0
fi
check "doctor finds the module" grep -q '^ok   module: ' "$tmp/out"
check "doctor finds the agent" grep -q '^ok   agent: 1 registered' "$tmp/out"
check "doctor finds the fast cipher" grep -q '^ok   cipher: gcm(aes) by generic-gcm-aesni$' "$tmp/out"
check "doctor asks itlsd" grep -q '^ok   config: ' "$tmp/out"
check "doctor uses itlsd's own default" grep -qx -- '--check ' "$tmp/args"
fake "$tmp/bin/itlsctl" doctor --config /some/file
check "doctor passes --config on" grep -qx -- '--check --config /some/file ' "$tmp/args"
doctor_lacks() {
	FAKE_LACKS=$1 fake "$tmp/bin/itlsctl" doctor
}
# No connection to 127.0.0.1: the module cannot be asked, and says nothing wrong.
ip link set lo down
doctor_lacks "51 52 53 54"
check "doctor does not guess about ciphers" grep -q '^ok   cipher: gcm(aes) by generic-gcm-aesni$' "$tmp/out"
ip link set lo up
doctor_lacks ""
check "doctor is content with all ciphers" grep -q '^ok   cipher: gcm(aes) by generic-gcm-aesni$' "$tmp/out"
doctor_lacks 54
check "doctor warns of a missing cipher" grep -q \
	"^warn cipher: gcm(aes) by generic-gcm-aesni; no CHACHA20-POLY1305 .*'modprobe chacha20poly1305'" "$tmp/out"
check "doctor warns of that one only" out_lacks AES-128-CCM
doctor_lacks "53 54"
check "doctor warns of two missing ciphers" grep -q '^warn cipher: .*; no CHACHA20.*; no AES-128-CCM ' "$tmp/out"
[ -n "$old" ] || check "a missing cipher is no failure" rc_is 0
doctor_lacks "51 52"
check "doctor fails when the module has no AES-GCM" out_has 1 "FAIL cipher: the kernel has no gcm(aes)"
crypto "other" other passed
fake "$tmp/bin/itlsctl" doctor
check "doctor warns of a portable cipher" grep -q '^warn cipher: .*aes-generic' "$tmp/out"
crypto "gcm(aes)" gcm-aes-lib passed
fake "$tmp/bin/itlsctl" doctor
check "doctor warns of the portable library" grep -q '^warn cipher: .*gcm-aes-lib' "$tmp/out"
crypto "gcm(aes)" generic-gcm-aesni unknown
fake "$tmp/bin/itlsctl" doctor
check "doctor fails on a cipher without self-test" out_has 1 "FAIL cipher: "
crypto "gcm(aes)" generic-gcm-aesni passed
itlsd 'printf "itlsd.conf:3: bad\033[2J key\nsecond\nthird\n" >&2; exit 1'
fake "$tmp/bin/itlsctl" doctor
check "doctor repeats what itlsd found" out_has 1 "FAIL config: itlsd.conf:3: bad?[2J key (and 2 more:"
itlsd 'echo "itlsd.conf: ok"; echo "itlsd.conf:3: warning: expires soon"'
fake "$tmp/bin/itlsctl" doctor --json
check "doctor repeats itlsd's warnings" json_is "$rc" \
	"[(c['status'], c['message']) for c in d['checks'] if c['name'] == 'config'] == [('warn', 'itlsd.conf:3: warning: expires soon')]"
itlsd 'echo "f:1: warning: one" >&2; echo "f:2: two" >&2; exit 1'
fake "$tmp/bin/itlsctl" doctor
check "doctor prefers errors to warnings" out_has 1 "FAIL config: f:2: two"
itlsd 'exit 3'
fake "$tmp/bin/itlsctl" doctor
check "doctor does not trust silence" out_has 1 "FAIL config: $tmp/bin/itlsd --check refuses it"
itlsd 'kill -SEGV $$'
fake "$tmp/bin/itlsctl" doctor --json
check "doctor survives a crash of itlsd" json_is 1 \
	"[c['status'] for c in d['checks'] if c['name'] == 'config'] == ['fail'] and not d['ok']"
itlsd 'head -c 1000000 /dev/zero; exit 1'
fake "$tmp/bin/itlsctl" doctor
check "doctor survives an itlsd that will not stop talking" out_has 1 "FAIL config: "
counters 0
fake "$tmp/bin/itlsctl" doctor
check "doctor fails without an agent" out_has 1 "FAIL agent: "
rm "$tmp/bin/itlsd"
PATH=/bin:/usr/bin fake "$tmp/bin/itlsctl" doctor --json
check "doctor --json has every check" json_is 1 \
	"[c['name'] for c in d['checks']] == ['kernel', 'module', 'agent', 'cipher', 'config', 'attached']"

echo "1..$n"
[ "$failed" -eq 0 ]
