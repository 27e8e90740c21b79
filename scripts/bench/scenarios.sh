# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The scenarios, one a line: a name, then options of the load tool; @ is the folder
# with the files. A further kind of scenario gets a function here, and its first word
# in scripts/bench/guest when a program of that name runs it, not the load tool: that
# program gets what the load tool gets, and prints what it prints.

scenario() { printf '%s %s\n' "$1" "$2"; }

file='--file @/file'
wire='--wire @/wire'

# What the targets speak of; names that targets.jq knows.
scenarios_targets() {
	local size
	scenario tx/sendfile/1M "--op sendfile $file --variants plain,tls,itls,aead"
	scenario tx/send/1M "--op send --size 1M"
	scenario tx/send/16K "--op send --size 16K"
	for size in 64 256 1K; do
		scenario "tx/send/$size" "--op send --size $size"
		scenario "tx/send/$size/more" "--op send --size $size --more"
		scenario "tx/send/$size/cork" "--op send --size $size --cork"
	done
	scenario rx/recv/256K "--rx --op recv --size 256K $wire"
	scenario rx/splice/null "--rx --op splice --size 256K $wire --variants plain,tls,itls,aead"
	scenario rx/splice/file "--rx --op splice --size 256K $wire --to @/to --variants plain,tls,itls,aead"
	scenario idle/fresh "--op idle --conns 10000 --rounds 3 $wire"
	scenario idle/used "--op idle --conns 10000 --rounds 3 --used $wire"
	scenario crowd/sendfile "--op sendfile --size 64K --burst 64K --conns 64,10000 $file"
	scenario handshake/full "$([ "$1" = all ] || echo --variants openssl,itls)"
	scenario handshake/resumed "--resume $([ "$1" = all ] || echo --variants openssl,itls)"
	scenario server/1M "--size 1M $([ "$1" = all ] || echo --variants plain,openssl,ktls,itls)"
}

# Everything else: sizes, versions, ciphers, connections, system calls, cold pages.
scenarios_more() {
	local size tls cipher
	for size in 4K 64K 256K; do
		scenario "tx/send/$size" "--op send --size $size"
	done
	# real system calls, which User Mode Linux makes dear
	for size in 64 1K 16K 1M; do
		scenario "tx/send/$size/syscall" "--op send --size $size --syscalls"
	done
	scenario tx/sendfile/1M/syscall "--op sendfile $file --syscalls"
	for size in 16K 64K 256K; do
		scenario "tx/sendfile/$size" "--op sendfile --size $size $file"
	done
	scenario tx/sendfile/1M/cold "--op sendfile --cold --file @/disk/cold"
	scenario tx/splice/1M "--op splice $file --syscalls"
	for tls in 1.2 1.3; do
		for cipher in aes128 aes256 chacha; do
			scenario "tx/sendfile/1M/$tls-$cipher" \
				"--op sendfile --tls $tls --cipher $cipher --conns 1,4,64 $file"
			scenario "rx/recv/256K/$tls-$cipher" \
				"--rx --op recv --size 256K --tls $tls --cipher $cipher --conns 1,4,64 $wire"
		done
	done
	for size in 4K 16K 64K 1M; do
		scenario "rx/recv/$size" "--rx --op recv --size $size $wire"
	done
	scenario rx/recv/256K/malloc "--rx --op recv --size 256K --malloc $wire"
	scenario rx/recv/256K/packets "--rx --op recv --size 256K --packets $wire"
	scenario rx/splice/null/packets "--rx --op splice --size 256K --packets $wire"
	scenario rx/recv/256K/scattered "--rx --op recv --size 256K --scattered $wire"
	scenario rx/splice/null/scattered "--rx --op splice --size 256K --scattered $wire"
	scenarios_servers
	scenarios_handshakes
}

# Versions and keys; options of scripts/bench/handshake.
scenarios_handshakes() {
	scenario handshake/full/1.2 "--tls 1.2"
	scenario handshake/resumed/1.2 "--tls 1.2 --resume"
	scenario handshake/full/rsa "--cert rsa"
	scenario handshake/full/rsa/1.2 "--cert rsa --tls 1.2"
}

# Debian's servers; options of scripts/bench/server.
scenarios_servers() {
	local size
	for size in 1K 10K 100K; do
		scenario "server/$size" "--size $size"
		scenario "server/$size/close" "--size $size --close"
	done
	scenario server/1M/close "--size 1M --close"
	scenario server/1G "--size 1G --conns 2 --seconds 8 --rounds 3"
	scenario server/1G/close "--size 1G --conns 2 --seconds 8 --rounds 3 --close"
	scenario server/idle "--idle 10000 --size 1K --rounds 2 --variants plain,openssl,ktls,itls"
}

# Records after idle times; options of scripts/bench/latency.
scenarios_latency() {
	scenario latency/first-byte ""
	scenario latency/first-byte/no-nopush "--no-nopush"
	scenario latency/after-idle "--idle 2000"
}

# scenarios_list quick|all [PATTERN]: those whose name matches, by glob or in part.
scenarios_list() {
	local what=$1 pattern=${2-}
	{
		scenarios_targets "$what"
		[ "$what" = quick ] || { scenarios_more; scenarios_latency; }
	} | while read -r name args; do
		# shellcheck disable=SC2053	# a pattern
		[[ -z $pattern || $name == $pattern || $name == *"$pattern"* ]] &&
			echo "$name $args"
	done
	return 0
}

# scenarios_timed ROUNDS MS ROUNDS MS: adds rounds and their length to a list, the latter
# two for what takes long to begin. Rounds that a scenario has itself stay.
scenarios_timed() {
	local slow='^\(server\|handshake\|latency\|crowd\|idle\)/'
	sed -e "\%$slow%s/\$/ --time $4/" -e "\%$slow%!s/\$/ --time $2/" \
		-e "/ --rounds /!{\%$slow%s/\$/ --rounds $3/}" -e "/ --rounds /!s/\$/ --rounds $1/"
}
