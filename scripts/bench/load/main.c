// SPDX-License-Identifier: GPL-2.0
/* The load tool's command line, its rounds and its lines of JSON; see load.h. */
#define _GNU_SOURCE
#include <getopt.h>
#include <linux/tls.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "load.h"

static const char usage[] =
	"usage: load [OPTION]...\n"
	"\n"
	"Measures one scenario and prints a line of JSON per measurement. scripts/bench/run\n"
	"knows the scenarios and makes tables of the lines.\n"
	"\n"
	"  --name TEXT, --kernel TEXT   labels\n"
	"  --variants LIST     of plain, tls, itls, aead (default plain,tls,itls)\n"
	"  --op OP             send, sendfile, splice; recv, splice with --rx; idle\n"
	"  --syscalls          with system calls, not by the module itls_bench\n"
	"  --rx                measure receiving instead of sending\n"
	"  --size BYTES        of each call (default 1 MiB)\n"
	"  --burst BYTES       on one connection in turn (default at least 256 calls' or 256 KiB)\n"
	"  --conns LIST        numbers of connections (default 1)\n"
	"  --tls VERSION       1.2 or 1.3 (default)\n"
	"  --cipher CIPHER     aes128 (default), aes256, chacha\n"
	"  --more, --cork, --nagle    MSG_MORE or TCP_CORK within a burst; no TCP_NODELAY\n"
	"  --file FILE         what sendfile and splice send\n"
	"  --cold              drop the file's pages before it is read again\n"
	"  --wire PREFIX       where recorded streams are kept, for --rx and idle\n"
	"  --packets           with --rx: as packets of 1500 bytes, not whole pages, bring it\n"
	"  --scattered         with --rx: its pages do not follow one another in memory\n"
	"  --malloc            buffers begin 16 bytes into a page, as malloc() has large ones, not with it\n"
	"  --to FILE           where splice with --rx ends (default /dev/null)\n"
	"  --used              idle: after a record each way\n"
	"  --rounds N          (default 5)\n"
	"  --time MS           of each measurement (default 300)\n";

void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("load: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

/*
 * Some processors copy many times slower when what they write to lies a few bytes further
 * into its page than what they read, so where a buffer begins is not left to chance.
 */
char *buffer_make(const struct options *o, size_t len)
{
	size_t shift = o->mallocs ? 16 : 0;
	char *buffer = aligned_alloc(4096, (len + shift + 4095) / 4096 * 4096);

	if (!buffer)
		die("no memory for a buffer of %zu bytes", len);
	memset(buffer + shift, 'x', len);
	return buffer + shift;
}

/* ---- options --------------------------------------------------------------- */

static const struct {
	const char *name;
	enum op op;
} ops[] = {
	{ "send", OP_SEND }, { "sendfile", OP_SENDFILE },
	{ "splice", OP_SPLICE }, { "recv", OP_RECV }, { "idle", OP_IDLE },
};

static enum op parse_op(const char *text)
{
	size_t i;

	for (i = 0; i < sizeof(ops) / sizeof(*ops); i++)
		if (!strcmp(ops[i].name, text))
			return ops[i].op;
	die("unknown operation '%s'", text);
}

static void parse_variants(struct options *o, char *text)
{
	enum variant v;
	char *word;

	o->nr_variants = 0;
	for (word = strtok(text, ","); word; word = strtok(NULL, ",")) {
		for (v = PLAIN; v <= AEAD; v++)
			if (!strcmp(word, variant_name(v)))
				break;
		if (v > AEAD || o->nr_variants == VARIANTS_MAX)
			die("bad variant '%s'", word);
		o->variants[o->nr_variants++] = v;
	}
}

static void parse_counts(struct options *o, char *text)
{
	char *word;

	o->nr_counts = 0;
	for (word = strtok(text, ","); word; word = strtok(NULL, ",")) {
		if (atoi(word) <= 0 || o->nr_counts == COUNTS_MAX)
			die("bad number of connections '%s'", word);
		o->counts[o->nr_counts++] = atoi(word);
	}
}

static size_t parse_size(const char *text)
{
	char *end;
	size_t n = strtoull(text, &end, 10);

	if (*end == 'K')
		n <<= 10;
	if (*end == 'M')
		n <<= 20;
	if (!n || (*end && end[1]))
		die("bad size '%s'", text);
	return n;
}

static uint16_t parse_version(const char *text)
{
	if (strcmp(text, "1.2") && strcmp(text, "1.3"))
		die("unknown version '%s': 1.2 or 1.3", text);
	return strcmp(text, "1.2") ? TLS_1_3_VERSION : TLS_1_2_VERSION;
}

enum {
	O_NAME = 1, O_KERNEL, O_VARIANTS, O_OP, O_RX, O_SIZE, O_BURST, O_CONNS, O_TLS, O_CIPHER,
	O_MORE, O_CORK, O_NAGLE, O_FILE, O_COLD, O_WIRE, O_TO, O_USED, O_ROUNDS, O_TIME, O_SYSCALLS,
	O_PACKETS, O_SCATTERED, O_MALLOC, O_HELP,
};

static const struct option long_options[] = {
	{ "name", 1, NULL, O_NAME }, { "kernel", 1, NULL, O_KERNEL },
	{ "variants", 1, NULL, O_VARIANTS }, { "op", 1, NULL, O_OP }, { "rx", 0, NULL, O_RX },
	{ "size", 1, NULL, O_SIZE }, { "burst", 1, NULL, O_BURST }, { "conns", 1, NULL, O_CONNS },
	{ "tls", 1, NULL, O_TLS }, { "cipher", 1, NULL, O_CIPHER }, { "more", 0, NULL, O_MORE },
	{ "cork", 0, NULL, O_CORK }, { "nagle", 0, NULL, O_NAGLE }, { "file", 1, NULL, O_FILE },
	{ "cold", 0, NULL, O_COLD }, { "wire", 1, NULL, O_WIRE }, { "to", 1, NULL, O_TO },
	{ "used", 0, NULL, O_USED }, { "syscalls", 0, NULL, O_SYSCALLS },
	{ "packets", 0, NULL, O_PACKETS }, { "scattered", 0, NULL, O_SCATTERED },
	{ "malloc", 0, NULL, O_MALLOC },
	{ "rounds", 1, NULL, O_ROUNDS }, { "time", 1, NULL, O_TIME },
	{ "help", 0, NULL, O_HELP }, { NULL, 0, NULL, 0 },
};

static void parse_flag(struct options *o, int c)
{
	switch (c) {
	case O_RX:
		o->rx = true;
		break;
	case O_MORE:
		o->more = true;
		break;
	case O_CORK:
		o->cork = true;
		break;
	case O_NAGLE:
		o->nagle = true;
		break;
	case O_COLD:
		o->cold = true;
		break;
	case O_USED:
		o->used = true;
		break;
	case O_SYSCALLS:
		o->syscalls = true;
		break;
	case O_PACKETS:
		o->packets = true;
		break;
	case O_SCATTERED:
		o->scattered = true;
		break;
	case O_MALLOC:
		o->mallocs = true;
		break;
	case O_HELP:
		fputs(usage, stdout);
		exit(0);
	default:
		fputs(usage, stderr);
		exit(2);
	}
}

static void parse_one(struct options *o, int c)
{
	switch (c) {
	case O_NAME:
		o->name = optarg;
		break;
	case O_KERNEL:
		o->kernel = optarg;
		break;
	case O_VARIANTS:
		parse_variants(o, optarg);
		break;
	case O_OP:
		o->op = parse_op(optarg);
		break;
	case O_SIZE:
		o->size = parse_size(optarg);
		break;
	case O_BURST:
		o->burst = parse_size(optarg);
		break;
	case O_CONNS:
		parse_counts(o, optarg);
		break;
	case O_TLS:
		o->version = parse_version(optarg);
		break;
	case O_CIPHER:
		o->cipher = cipher_find(optarg);
		break;
	case O_FILE:
		o->file = optarg;
		break;
	case O_WIRE:
		o->wire = optarg;
		break;
	case O_TO:
		o->to = optarg;
		break;
	case O_ROUNDS:
		o->rounds = atoi(optarg);
		break;
	case O_TIME:
		o->time_ms = atoi(optarg);
		break;
	default:
		parse_flag(o, c);
	}
}

/* Small calls in bursts of 256, larger ones of 256 KiB, and whole calls; streams by MiB. */
static void complete(struct options *o)
{
	if (!o->burst)
		o->burst = o->rx ? 1 << 20 : o->size < 1024 ? 256 * o->size : 256 << 10;
	if (o->burst < o->size)
		o->burst = o->size;
	o->burst -= o->rx ? 0 : o->burst % o->size;
	if (!o->file && !o->rx && (o->op == OP_SENDFILE || o->op == OP_SPLICE))
		die("--file is missing");
	if (!o->wire && (o->rx || o->op == OP_IDLE))
		die("--wire is missing");
	if (o->size > 1 << 20)
		die("--size is at most 1M");
}

/* ---- results ----------------------------------------------------------------- */

static const char *op_name(enum op op)
{
	return ops[op].name;
}

static void print_result(const struct options *o, int round, enum variant v, unsigned int nr,
			 const struct result *r)
{
	printf("{\"kernel\":\"%s\",\"scenario\":\"%s\",\"variant\":\"%s\",\"round\":%d,", o->kernel,
	       o->name, variant_name(v), round);
	printf("\"way\":\"%s\",\"op\":\"%s\",\"size\":%zu,\"burst\":%zu,\"conns\":%u,",
	       o->rx ? "rx" : "tx", op_name(o->op), o->size, o->burst, nr);
	printf("\"tls\":\"%s\",\"cipher\":\"%s\",", o->version == TLS_1_3_VERSION ? "1.3" : "1.2",
	       cipher_name(o->cipher));
	printf("\"more\":%d,\"cork\":%d,\"cold\":%d,\"syscalls\":%d,", o->more, o->cork,
	       o->cold, o->syscalls);
	printf("\"bytes\":%llu,\"wall_ns\":%llu,\"cpu_ns\":%llu,\"cycles\":%llu,\"dram_bytes\":%llu,",
	       (unsigned long long)r->bytes, (unsigned long long)r->wall_ns,
	       (unsigned long long)r->cpu_ns, (unsigned long long)r->cycles,
	       (unsigned long long)r->dram_bytes);
	printf("\"failed\":%llu,\"stalls\":%llu,\"mem\":%lld,\"slab\":%lld}\n",
	       (unsigned long long)r->failed, (unsigned long long)r->stalls,
	       (long long)r->mem, (long long)r->slab);
	fflush(stdout);
}

static void measure(const struct options *o, enum variant v, unsigned int nr, struct result *r)
{
	if (v == AEAD)
		aead_run(o, r);
	else if (o->op == OP_IDLE)
		idle_run(o, v, nr, r);
	else if (o->rx)
		rx_run(o, v, nr, r);
	else
		tx_run(o, v, nr, r);
}

#define WARM_MS	200

/* Round 0 warms up and is not told. Each round begins with another variant. */
static void rounds(const struct options *o)
{
	struct options warm = *o;
	int round, i, k;

	if (warm.time_ms > WARM_MS)
		warm.time_ms = WARM_MS;
	for (round = o->op == OP_IDLE; round <= o->rounds; round++) {
		/* Who profiles waits for this. */
		if (round)
			fprintf(stderr, "load: %s: round %d of %d\n", o->name, round, o->rounds);
		for (i = 0; i < o->nr_variants; i++) {
			enum variant v = o->variants[(i + round) % o->nr_variants];

			for (k = 0; k < o->nr_counts; k++) {
				struct result r = { 0 };

				measure(round ? o : &warm, v, o->counts[k], &r);
				if (round)
					print_result(o, round, v, o->counts[k], &r);
			}
		}
	}
}

int main(int argc, char **argv)
{
	struct options o = {
		.name = "", .kernel = "", .variants = { PLAIN, TLS, ITLS }, .nr_variants = 3,
		.op = OP_SEND, .size = 1 << 20, .counts = { 1 }, .nr_counts = 1,
		.version = TLS_1_3_VERSION, .cipher = TLS_CIPHER_AES_GCM_128,
		.to = "/dev/null", .rounds = 5, .time_ms = 300,
	};
	struct rlimit files = { 1 << 20, 1 << 20 };
	int c;

	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		parse_one(&o, c);
	if (optind < argc)
		die("what is '%s'?", argv[optind]);
	complete(&o);
	setrlimit(RLIMIT_NOFILE, &files);
	clock_open();
	if (!o.rx && o.op != OP_IDLE)
		tx_prepare(&o);
	rounds(&o);
	return 0;
}
