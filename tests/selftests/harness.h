/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A small test harness in the vocabulary of kselftest.  Owns the list of
 * tests of one program and how each is run: in a forked child with its own
 * process group, its own network namespace (where permitted) and a deadline.
 * Output is TAP.  A kernel splat logged during a test fails that test.
 *
 * EXPECT_* notes a failure and goes on; ASSERT_* ends the test at once, so
 * what a test leaves behind is cleaned up by the end of its process.
 */
#ifndef SELFTEST_HARNESS_H
#define SELFTEST_HARNESS_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEST_DEADLINE_S 20

struct test_variant {
	const char *name;
	const void *data;
	struct test_variant *next;
};

struct test_fixture {
	const char *name;
	size_t size;
	void (*setup)(void *self, const void *variant);
	void (*teardown)(void *self, const void *variant);
	struct test_variant *variants;
};

struct test_case {
	struct test_fixture *fixture;	/* NULL: a plain TEST() */
	const char *name;
	void (*run)(void *self, const void *variant);
	int deadline_s;
	struct test_case *next;
};

void test_add(struct test_case *tc);
void test_add_variant(struct test_fixture *fx, struct test_variant *v);
void test_fail(const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
_Noreturn void test_abort(void);
_Noreturn void test_skip(const char *why);
bool test_failed(void);
/* Milliseconds that waiting for a condition may take before it counts as failed. */
int test_wait_ms(void);
/* A thread of this process sleeps in the kernel. */
bool test_is_asleep(pid_t tid);

/* Called in the parent after each test; a program may define it to put global state back. */
void test_after_each(void);

#define TEST_TIMEOUT(tname, secs)						\
	static void tcase_##tname(void);						\
	static void tcase_##tname##_run(void *self, const void *variant)		\
	{									\
		(void)self;							\
		(void)variant;							\
		tcase_##tname();							\
	}									\
	static struct test_case tcase_##tname##_case = {				\
		.name = #tname, .run = tcase_##tname##_run, .deadline_s = secs,	\
	};									\
	__attribute__((constructor)) static void tcase_##tname##_add(void)	\
	{									\
		test_add(&tcase_##tname##_case);					\
	}									\
	static void tcase_##tname(void)

#define TEST(tname) TEST_TIMEOUT(tname, TEST_DEADLINE_S)

#define FIXTURE(fx)								\
	struct fx##_variant;							\
	struct fx##_data;							\
	static void fx##_setup(struct fx##_data *, const struct fx##_variant *); \
	static void fx##_teardown(struct fx##_data *, const struct fx##_variant *); \
	static struct test_fixture fx##_fixture;				\
	struct fx##_data

#define FIXTURE_VARIANT(fx) struct fx##_variant

/* No variants: an empty FIXTURE_VARIANT() is still needed. */
#define FIXTURE_VARIANT_ADD(fx, vname)						\
	static const struct fx##_variant fx##_##vname##_data;			\
	static struct test_variant fx##_##vname = {				\
		.name = #vname, .data = &fx##_##vname##_data,			\
	};									\
	__attribute__((constructor)) static void fx##_##vname##_add(void)	\
	{									\
		test_add_variant(&fx##_fixture, &fx##_##vname);			\
	}									\
	static const struct fx##_variant fx##_##vname##_data =

#define FIXTURE_SETUP(fx)							\
	static void fx##_setup_run(void *self, const void *variant)		\
	{									\
		fx##_setup(self, variant);					\
	}									\
	static void fx##_teardown_run(void *self, const void *variant)		\
	{									\
		fx##_teardown(self, variant);					\
	}									\
	static struct test_fixture fx##_fixture = {				\
		.name = #fx, .size = sizeof(struct fx##_data),			\
		.setup = fx##_setup_run, .teardown = fx##_teardown_run,		\
	};									\
	static void fx##_setup(struct fx##_data *self __attribute__((unused)),	\
			       const struct fx##_variant *variant __attribute__((unused)))

#define FIXTURE_TEARDOWN(fx)							\
	static void fx##_teardown(struct fx##_data *self __attribute__((unused)), \
				  const struct fx##_variant *variant __attribute__((unused)))

#define TEST_F_TIMEOUT(fx, tname, secs)						\
	static void fx##_##tname(struct fx##_data *, const struct fx##_variant *); \
	static void fx##_##tname##_run(void *self, const void *variant)		\
	{									\
		fx##_##tname(self, variant);					\
	}									\
	static struct test_case fx##_##tname##_case = {				\
		.fixture = &fx##_fixture, .name = #tname,			\
		.run = fx##_##tname##_run, .deadline_s = secs,			\
	};									\
	__attribute__((constructor)) static void fx##_##tname##_add(void)	\
	{									\
		test_add(&fx##_##tname##_case);					\
	}									\
	static void fx##_##tname(struct fx##_data *self __attribute__((unused)), \
				 const struct fx##_variant *variant __attribute__((unused)))

#define TEST_F(fx, tname) TEST_F_TIMEOUT(fx, tname, TEST_DEADLINE_S)

#define SKIP(why) test_skip(why)

#define __TEST_CMP(want, op, seen, fatal)					\
	do {									\
		intmax_t _want = (intmax_t)(want);				\
		intmax_t _seen = (intmax_t)(seen);				\
		int _err = errno;						\
										\
		if (!(_want op _seen)) {					\
			test_fail(__FILE__, __LINE__,				\
				  "%s (%jd) " #op " %s (%jd), errno %s",	\
				  #want, _want, #seen, _seen, strerrorname_np(_err) ?: "?"); \
			if (fatal)						\
				test_abort();					\
		}								\
	} while (0)

#define EXPECT_EQ(want, seen) __TEST_CMP(want, ==, seen, false)
#define EXPECT_NE(want, seen) __TEST_CMP(want, !=, seen, false)
#define EXPECT_LT(want, seen) __TEST_CMP(want, <, seen, false)
#define EXPECT_LE(want, seen) __TEST_CMP(want, <=, seen, false)
#define EXPECT_GT(want, seen) __TEST_CMP(want, >, seen, false)
#define EXPECT_GE(want, seen) __TEST_CMP(want, >=, seen, false)
#define ASSERT_EQ(want, seen) __TEST_CMP(want, ==, seen, true)
#define ASSERT_NE(want, seen) __TEST_CMP(want, !=, seen, true)
#define ASSERT_LT(want, seen) __TEST_CMP(want, <, seen, true)
#define ASSERT_LE(want, seen) __TEST_CMP(want, <=, seen, true)
#define ASSERT_GT(want, seen) __TEST_CMP(want, >, seen, true)
#define ASSERT_GE(want, seen) __TEST_CMP(want, >=, seen, true)

#define __TEST_TRUE(cond, fatal)						\
	do {									\
		if (!(cond)) {							\
			test_fail(__FILE__, __LINE__, "%s is false", #cond);	\
			if (fatal)						\
				test_abort();					\
		}								\
	} while (0)

#define EXPECT_TRUE(cond) __TEST_TRUE(cond, false)
#define EXPECT_FALSE(cond) __TEST_TRUE(!(cond), false)
#define ASSERT_TRUE(cond) __TEST_TRUE(cond, true)
#define ASSERT_FALSE(cond) __TEST_TRUE(!(cond), true)

/* The call fails with this errno: errno is API, so every one is tested by name. */
#define __TEST_ERRNO(want, call, fatal)						\
	do {									\
		intmax_t _ret = (intmax_t)(call);				\
		int _err = errno;						\
										\
		if (_ret != -1 || _err != (want)) {				\
			test_fail(__FILE__, __LINE__,				\
				  "%s gave %jd, errno %s, not -1 with %s", #call, _ret, \
				  _ret == -1 ? strerrorname_np(_err) ?: "?" : "-", \
				  strerrorname_np(want) ?: "?"); \
			if (fatal)						\
				test_abort();					\
		}								\
	} while (0)

#define EXPECT_ERRNO(want, call) __TEST_ERRNO(want, call, false)
#define ASSERT_ERRNO(want, call) __TEST_ERRNO(want, call, true)

#define __TEST_MEM(want, seen, len, fatal)					\
	do {									\
		const uint8_t *_w = (const void *)(want);			\
		const uint8_t *_s = (const void *)(seen);			\
		size_t _i, _n = (len);						\
										\
		for (_i = 0; _i < _n && _w[_i] == _s[_i]; _i++)			\
			;							\
		if (_i < _n) {							\
			test_fail(__FILE__, __LINE__,				\
				  "%s and %s differ at byte %zu of %zu: %02x, %02x", \
				  #want, #seen, _i, _n, _w[_i], _s[_i]);	\
			if (fatal)						\
				test_abort();					\
		}								\
	} while (0)

#define EXPECT_MEMEQ(want, seen, len) __TEST_MEM(want, seen, len, false)
#define ASSERT_MEMEQ(want, seen, len) __TEST_MEM(want, seen, len, true)

#endif
