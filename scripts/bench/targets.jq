# SPDX-License-Identifier: GPL-2.0
# Rows (see summary.jq) to verdicts: what the module is meant to reach. $clock is
# "cpu" or "wall". What was not measured has no verdict.

def row(s; n): map(select(.scenario == s and (n == null or .conns == n))) | first;

def verdict(id; what; measured; want; at_most):
	if measured == null then empty else
	{ id: id, what: what, measured: measured, want: want, at_most: at_most,
	  met: (if at_most then measured <= want else measured >= want end) } end;

# "most" is what it would be if itls cost no more than plain TCP and AES-GCM alone: a
# copy saved may get beyond it, nothing else.
def gain(id; what; s; want): row(s; null)[$clock] as $r |
	verdict(id; what; $r.gain.median; want; false) |
	if $r.floor.median == null then . else .most = $r.gain.median * $r.floor.median end;

def inverse: if . == null or . == 0 then null else 1 / . end;

# Throughput with many connections, of that with few.
def crowd(v): row("crowd/sendfile"; 10000).beside_fewest[$clock][v].median;

def small(how; suffix): (["64", "64 B"], ["256", "256 B"], ["1K", "1 KiB"]) as [$size, $text] |
	gain("2"; "send() of \($text)\(how), in-tree/itls"; "tx/send/\($size)\(suffix)"; 1.0);

# Real servers: bytes per CPU second, of itls in those of another. OpenSSL suffers most in
# User Mode Linux, so where it was measured outside as well, that is the other.
def server(what; other; want):
	row("server/1M"; null)[$clock].over_itls as $x |
	verdict("4"; "nginx, 1 MiB files, keep-alive: itls/\(what)";
		($x["\(other)-native"] // $x[other]).median; want; false);

# Handshakes, TLS 1.3 with ECDSA P-256: what another takes, in what itls does.
def handshake(what; s):
	verdict("5"; "\(what) handshakes, nginx + OpenSSL/itls";
		row("handshake/\(s)"; null)[$clock].over_itls.openssl.median; 1.0; false);

def verdicts($kernel):
	gain("1"; "sendfile of a 64 MiB file, in-tree/itls"; "tx/sendfile/1M";
		if $kernel | startswith("6.12") then 1.3 else 1.2 end),
	verdict("1"; "the same, itls/(plain + AES-GCM alone)";
		row("tx/sendfile/1M"; null)[$clock].floor.median; 1.25; true),
	gain("2"; "send() of 16 KiB, in-tree/itls"; "tx/send/16K"; 1.2),
	gain("2"; "send() of 1 MiB, in-tree/itls"; "tx/send/1M"; 1.2),
	small(", MSG_MORE"; "/more"), small(", TCP_CORK"; "/cork"), small(""; ""),
	gain("3"; "recv() of 256 KiB, in-tree/itls"; "rx/recv/256K"; 1.2),
	gain("3"; "splice() to a pipe, in-tree/itls"; "rx/splice/null"; 1.5),
	gain("3"; "splice() to a file, in-tree/itls"; "rx/splice/file"; 1.5),
	server("OpenSSL"; "openssl"; 2.0), server("in-tree"; "ktls"; 1.2),
	handshake("full"; "full"), handshake("resumed"; "resumed"),
	verdict("6"; "memory of an idle connection, itls/in-tree";
		(row("idle/fresh"; null).cpu.gain.median | inverse); 0.5; true),
	verdict("6"; "the same after a record each way, itls/in-tree";
		(row("idle/used"; null).cpu.gain.median | inverse); 0.5; true),
	verdict("7"; "throughput of 10,000 connections, of that of 64"; crowd("itls"); 0.9; false),
	verdict("7"; "connections of 10,000 that failed";
		row("crowd/sendfile"; 10000).failed; 0; true);

group_by(.kernel) | map(.[0].kernel as $kernel | [verdicts($kernel)] | map(.kernel = $kernel)) | add
