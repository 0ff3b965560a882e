// SPDX-License-Identifier: GPL-2.0
/*
 * Syscall User Dispatch: the arguments of the prctl (rules A1 to A10, A12) and
 * a kernel without the feature (A12, K1).
 *
 * entry.c tests rule A11. The edges that it moves are respected here: see
 * sud_full_width().
 */
#include <linux/prctl.h>

/* Does the header itself define all of them? sud.h fills the gaps. */
#if defined(PR_SET_SYSCALL_USER_DISPATCH) &&				\
	defined(PR_SYS_DISPATCH_OFF) && defined(PR_SYS_DISPATCH_ON) &&	\
	defined(PR_SYS_DISPATCH_EXCLUSIVE_ON) &&			\
	defined(PR_SYS_DISPATCH_INCLUSIVE_ON)
#define HEADER_IS_COMPLETE true
#else
#define HEADER_IS_COMPLETE false
#endif

#include "sud.h"

#include <assert.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdio.h>

#include "sud_seccomp.h"

#include "sud_harness.h"

/* Addresses that no user mapping can have. */
#define KERNEL_HALF	((sud_uword)1 << (SUD_WORD_BITS - 1))
#define KERNEL_TEXT	(~(sud_uword)0x3effffff)
#define KERNEL_TOP	SUD_UWORD_MAX

#define NOBODY 65534

/* The selector of calls that must fail: it must never be in force. */
static volatile uint8_t other_selector;

static_assert(PR_SET_SYSCALL_USER_DISPATCH == 59, "ABI");
static_assert(PR_SYS_DISPATCH_OFF == 0, "ABI");
static_assert(PR_SYS_DISPATCH_ON == 1, "ABI");
static_assert(PR_SYS_DISPATCH_EXCLUSIVE_ON == 1, "ABI");
static_assert(PR_SYS_DISPATCH_INCLUSIVE_ON == 2, "ABI");
static_assert(SYSCALL_DISPATCH_FILTER_ALLOW == 0, "ABI");
static_assert(SYSCALL_DISPATCH_FILTER_BLOCK == 1, "ABI");

/* The values are checked at compile time, above. */
TEST(A1_constants_in_header)
{
	SUD_REQUIRE();
	EXPECT_TRUE(HEADER_IS_COMPLETE) {
		TH_LOG("<linux/prctl.h> is not that of the kernel under test");
	}
}

/* Most tests here need foreign code and a handler. */
FIXTURE(args) {};

FIXTURE_SETUP(args)
{
	ASSERT_TRUE(sud_setup());
}

FIXTURE_TEARDOWN(args)
{
}

/* Make a foreign call with the selector at BLOCK. Return: as sud_probe(). */
static int probe_blocked(volatile uint8_t *selector)
{
	int ret;

	*selector = SUD_BLOCK;
	ret = sud_probe();
	*selector = SUD_ALLOW;
	return ret;
}

TEST_F(args, A1_unknown_op)
{
	static const sud_uword ops[] = {
		3, 4, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff,
		SUD_UWORD_MAX, SUD_UWORD_MAX - 1, KERNEL_HALF, KERNEL_HALF | 1, KERNEL_HALF | 2,
	};
	unsigned int i;

	SUD_REQUIRE();
	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		EXPECT_EQ(-EINVAL, sud_prctl(ops[i], 0, 0, 0)) {
			TH_LOG("op %#jx", (uintmax_t)ops[i]);
		}
		EXPECT_EQ(-EINVAL, sud_arm(ops[i], SUD_NATIVE_OFFSET,
					   SUD_NATIVE_LENGTH, &sud_selector)) {
			TH_LOG("op %#jx with a range", (uintmax_t)ops[i]);
		}
		EXPECT_EQ(0, probe_blocked(&sud_selector));
	}
}

#if SUD_WORD_BITS == 64
/* Cut to an int, these would be OFF, EXCLUSIVE and INCLUSIVE. */
TEST_F(args, A1_op_is_unsigned_long)
{
	sud_uword high, op;

	SUD_REQUIRE();
	for (high = (sud_uword)1 << 32; high; high <<= 1) {
		for (op = 0; op <= 2; op++) {
			EXPECT_EQ(-EINVAL, sud_prctl(high | op, 0, 0, 0)) {
				TH_LOG("op %#jx", (uintmax_t)(high | op));
			}
			EXPECT_EQ(-EINVAL,
				  sud_arm(high | op, SUD_NATIVE_OFFSET,
					  SUD_NATIVE_LENGTH, &sud_selector)) {
				TH_LOG("op %#jx with a range",
				       (uintmax_t)(high | op));
			}
			EXPECT_EQ(0, probe_blocked(&sud_selector));
		}
	}
}
#endif

/* The same by the C library's prctl(), which sets errno. */
TEST_F(args, A1_libc_errno)
{
	SUD_REQUIRE();
	errno = 0;
	EXPECT_EQ(-1, prctl(PR_SET_SYSCALL_USER_DISPATCH, 3UL, 0UL, 0UL, 0UL));
	EXPECT_EQ(EINVAL, errno);
	errno = 0;
	EXPECT_EQ(0, prctl(PR_SET_SYSCALL_USER_DISPATCH, 0UL, 0UL, 0UL, 0UL));
	EXPECT_EQ(0, errno);
}

TEST_F(args, A2_off_takes_no_offset)
{
	SUD_REQUIRE();
	EXPECT_EQ(-EINVAL, sud_prctl(SUD_OFF, 1, 0, 0));
	EXPECT_EQ(-EINVAL, sud_prctl(SUD_OFF, SUD_UWORD_MAX, 0, 0));
	EXPECT_EQ(-EINVAL, sud_prctl(SUD_OFF, KERNEL_HALF, 0, 0));
}

TEST_F(args, A2_off_takes_no_length)
{
	SUD_REQUIRE();
	EXPECT_EQ(-EINVAL, sud_prctl(SUD_OFF, 0, 1, 0));
	EXPECT_EQ(-EINVAL, sud_prctl(SUD_OFF, 0, SUD_UWORD_MAX, 0));
	EXPECT_EQ(-EINVAL, sud_prctl(SUD_OFF, 0, KERNEL_HALF, 0));
}

TEST_F(args, A2_off_takes_no_selector)
{
	SUD_REQUIRE();
	EXPECT_EQ(-EINVAL, sud_arm(SUD_OFF, 0, 0, &sud_selector));
	EXPECT_EQ(-EINVAL, sud_prctl(SUD_OFF, 0, 0, 1));
	EXPECT_EQ(-EINVAL, sud_prctl(SUD_OFF, 0, 0, KERNEL_HALF));
	EXPECT_EQ(-EINVAL, sud_prctl(SUD_OFF, 0, 0, KERNEL_TOP));
}

TEST_F(args, A2_off_takes_no_combination)
{
	SUD_REQUIRE();
	EXPECT_EQ(-EINVAL, sud_prctl(SUD_OFF, 1, 1, 0));
	EXPECT_EQ(-EINVAL, sud_arm(SUD_OFF, 1, 0, &sud_selector));
	EXPECT_EQ(-EINVAL, sud_arm(SUD_OFF, 0, 1, &sud_selector));
	EXPECT_EQ(-EINVAL, sud_arm(SUD_OFF, SUD_NATIVE_OFFSET,
				   SUD_NATIVE_LENGTH, &sud_selector));
	/* Their sum is 0. */
	EXPECT_EQ(-EINVAL, sud_prctl(SUD_OFF, 1, SUD_UWORD_MAX, 0));
	EXPECT_EQ(-EINVAL, sud_prctl(SUD_OFF, SUD_UWORD_MAX, 1, 0));
}

/* Before SUD_REQUIRE(), so that this is the thread's first such call. */
TEST_F(args, A2_off_when_never_armed)
{
	long ret = sud_off();

	SUD_REQUIRE();
	EXPECT_EQ(0, ret);
	EXPECT_EQ(0, sud_off());
	EXPECT_EQ(0, probe_blocked(&sud_selector));
}

TEST_F(args, A2_off_disarms)
{
	SUD_REQUIRE();
	ASSERT_EQ(0, sud_arm_native(&sud_selector));
	EXPECT_EQ(1, probe_blocked(&sud_selector));
	EXPECT_EQ(0, sud_off());
	EXPECT_EQ(0, probe_blocked(&sud_selector));
	EXPECT_EQ(0, sud_off());
}

/* A bad range: it is empty, or its sum wraps where a sum can wrap. */
static void check_bad_range(struct __test_metadata *_metadata, sud_uword op,
			    sud_uword offset, sud_uword length)
{
	if (length && !sud_full_width()) {
		EXPECT_EQ(0, sud_arm(op, offset, length, &sud_selector));
		EXPECT_EQ(0, sud_off());
		return;
	}
	EXPECT_EQ(-EINVAL, sud_arm(op, offset, length, &sud_selector));
	EXPECT_EQ(-EINVAL, sud_arm(op, offset, length, NULL));
	EXPECT_EQ(0, probe_blocked(&sud_selector));
}

/* A3 to A5: the edges of a range, named by the variants. */
FIXTURE(bad_exclusive) {};
FIXTURE_VARIANT(bad_exclusive) { sud_uword offset, length; };
FIXTURE_SETUP(bad_exclusive) { ASSERT_TRUE(sud_setup()); }
FIXTURE_TEARDOWN(bad_exclusive) {}

FIXTURE_VARIANT_ADD(bad_exclusive, length_0) { 1, 0 };
FIXTURE_VARIANT_ADD(bad_exclusive, length_0_native) { SUD_NATIVE, 0 };
FIXTURE_VARIANT_ADD(bad_exclusive, length_0_top) { SUD_UWORD_MAX, 0 };
FIXTURE_VARIANT_ADD(bad_exclusive, sum_0_short) { SUD_UWORD_MAX, 1 };
FIXTURE_VARIANT_ADD(bad_exclusive, sum_0_long) { 1, SUD_UWORD_MAX };
FIXTURE_VARIANT_ADD(bad_exclusive, sum_0_native) { SUD_NATIVE, -(sud_uword)SUD_NATIVE };
FIXTURE_VARIANT_ADD(bad_exclusive, sum_0_halves) { KERNEL_HALF, KERNEL_HALF };
FIXTURE_VARIANT_ADD(bad_exclusive, wrap_to_1) { SUD_UWORD_MAX, 2 };
FIXTURE_VARIANT_ADD(bad_exclusive, wrap_below_offset) { 2, SUD_UWORD_MAX };
FIXTURE_VARIANT_ADD(bad_exclusive, wrap_both_max) { SUD_UWORD_MAX, SUD_UWORD_MAX };
FIXTURE_VARIANT_ADD(bad_exclusive, wrap_native) { SUD_NATIVE, -(sud_uword)SUD_NATIVE + 1 };

TEST_F(bad_exclusive, A3_EINVAL)
{
	SUD_REQUIRE();
	check_bad_range(_metadata, SUD_EXCL, variant->offset, variant->length);
}

FIXTURE(good_exclusive) {};
FIXTURE_VARIANT(good_exclusive) { sud_uword offset, length; };
FIXTURE_SETUP(good_exclusive) { ASSERT_TRUE(sud_setup()); }
FIXTURE_TEARDOWN(good_exclusive) {}

FIXTURE_VARIANT_ADD(good_exclusive, shortest) { 1, 1 };
FIXTURE_VARIANT_ADD(good_exclusive, longest) { 1, SUD_UWORD_MAX - 1 };
FIXTURE_VARIANT_ADD(good_exclusive, highest) { SUD_UWORD_MAX - 1, 1 };
FIXTURE_VARIANT_ADD(good_exclusive, across_the_middle) { KERNEL_HALF - 1, 2 };
FIXTURE_VARIANT_ADD(good_exclusive, kernel_half) { KERNEL_HALF, KERNEL_HALF - 1 };
FIXTURE_VARIANT_ADD(good_exclusive, native) { SUD_NATIVE_OFFSET, SUD_NATIVE_LENGTH };

TEST_F(good_exclusive, A3_accepted)
{
	SUD_REQUIRE();
	EXPECT_EQ(0, sud_arm(SUD_EXCL, variant->offset, variant->length,
			     &sud_selector));
	EXPECT_EQ(0, sud_off());
}

FIXTURE(exclusive_0) {};
FIXTURE_VARIANT(exclusive_0) { sud_uword length; };
FIXTURE_SETUP(exclusive_0) { ASSERT_TRUE(sud_setup()); }
FIXTURE_TEARDOWN(exclusive_0) {}

FIXTURE_VARIANT_ADD(exclusive_0, length_0) { 0 };
FIXTURE_VARIANT_ADD(exclusive_0, length_1) { 1 };
FIXTURE_VARIANT_ADD(exclusive_0, length_half_less) { KERNEL_HALF - 1 };
FIXTURE_VARIANT_ADD(exclusive_0, length_half) { KERNEL_HALF };
FIXTURE_VARIANT_ADD(exclusive_0, length_max_less) { SUD_UWORD_MAX - 1 };
FIXTURE_VARIANT_ADD(exclusive_0, length_max) { SUD_UWORD_MAX };

TEST_F(exclusive_0, A4_accepted)
{
	SUD_REQUIRE();
	EXPECT_EQ(0, sud_arm(SUD_EXCL, 0, variant->length, &sud_selector));
	EXPECT_EQ(0, sud_off());
}

/*
 * Make a call from the C library, and one from foreign code, with the
 * selector at BLOCK. Each dispatch sets the selector back, so that the handler
 * can return.
 */
static void two_calls(long *native, long *foreign)
{
	sud_unblock = &sud_selector;
	sud_selector = SUD_BLOCK;
	*native = syscall(SUD_NR_CLOSE, -1);
	sud_selector = SUD_BLOCK;
	*foreign = sud_foreign_call(SUD_NR_CLOSE, -1, 0, 0, 0, 0, 0);
	sud_selector = SUD_ALLOW;
}

TEST_F(args, A4_0_0_exempts_nothing)
{
	long native, foreign;

	SUD_REQUIRE();
	ASSERT_EQ(0, sud_arm(SUD_EXCL, 0, 0, &sud_selector));
	two_calls(&native, &foreign);
	EXPECT_EQ(SUD_NR_CLOSE, native);
	EXPECT_EQ(SUD_NR_CLOSE, foreign);
	EXPECT_EQ(2, sud_count);
}

TEST_F(args, A4_0_max_exempts_all)
{
	long native, foreign;

	SUD_REQUIRE();
	ASSERT_EQ(0, sud_arm(SUD_EXCL, 0, SUD_UWORD_MAX, &sud_selector));
	two_calls(&native, &foreign);
	EXPECT_EQ(-1, native);
	EXPECT_EQ(-EBADF, foreign);
	EXPECT_EQ(0, sud_count);
}

FIXTURE(bad_inclusive) {};
FIXTURE_VARIANT(bad_inclusive) { sud_uword offset, length; };
FIXTURE_SETUP(bad_inclusive) { ASSERT_TRUE(sud_setup()); }
FIXTURE_TEARDOWN(bad_inclusive) {}

FIXTURE_VARIANT_ADD(bad_inclusive, empty_0_0) { 0, 0 };
FIXTURE_VARIANT_ADD(bad_inclusive, length_0) { 1, 0 };
FIXTURE_VARIANT_ADD(bad_inclusive, length_0_foreign) { SUD_FOREIGN, 0 };
FIXTURE_VARIANT_ADD(bad_inclusive, length_0_top) { SUD_UWORD_MAX, 0 };
FIXTURE_VARIANT_ADD(bad_inclusive, sum_0_short) { SUD_UWORD_MAX, 1 };
FIXTURE_VARIANT_ADD(bad_inclusive, sum_0_long) { 1, SUD_UWORD_MAX };
FIXTURE_VARIANT_ADD(bad_inclusive, sum_0_foreign) { SUD_FOREIGN, -(sud_uword)SUD_FOREIGN };
FIXTURE_VARIANT_ADD(bad_inclusive, sum_0_halves) { KERNEL_HALF, KERNEL_HALF };
FIXTURE_VARIANT_ADD(bad_inclusive, wrap_to_1) { SUD_UWORD_MAX, 2 };
FIXTURE_VARIANT_ADD(bad_inclusive, wrap_below_offset) { 2, SUD_UWORD_MAX };
FIXTURE_VARIANT_ADD(bad_inclusive, wrap_both_max) { SUD_UWORD_MAX, SUD_UWORD_MAX };

TEST_F(bad_inclusive, A5_EINVAL)
{
	SUD_REQUIRE_INCLUSIVE();
	check_bad_range(_metadata, SUD_INCL, variant->offset, variant->length);
}

FIXTURE(good_inclusive) {};
FIXTURE_VARIANT(good_inclusive) { sud_uword offset, length; };
FIXTURE_SETUP(good_inclusive) { ASSERT_TRUE(sud_setup()); }
FIXTURE_TEARDOWN(good_inclusive) {}

FIXTURE_VARIANT_ADD(good_inclusive, from_0_length_1) { 0, 1 };
FIXTURE_VARIANT_ADD(good_inclusive, from_0_length_some) { 0, SUD_NATIVE };
FIXTURE_VARIANT_ADD(good_inclusive, from_0_length_half) { 0, KERNEL_HALF };
FIXTURE_VARIANT_ADD(good_inclusive, from_0_length_max) { 0, SUD_UWORD_MAX };
FIXTURE_VARIANT_ADD(good_inclusive, shortest) { 1, 1 };
FIXTURE_VARIANT_ADD(good_inclusive, longest) { 1, SUD_UWORD_MAX - 1 };
FIXTURE_VARIANT_ADD(good_inclusive, highest) { SUD_UWORD_MAX - 1, 1 };

TEST_F(good_inclusive, A5_accepted)
{
	SUD_REQUIRE_INCLUSIVE();
	EXPECT_EQ(0, sud_arm(SUD_INCL, variant->offset, variant->length,
			     &sud_selector));
	EXPECT_EQ(0, sud_off());
}

/* A6: the selector's address. */
FIXTURE(kernel_selector) {};
FIXTURE_VARIANT(kernel_selector) { sud_uword selector; };
FIXTURE_SETUP(kernel_selector) { ASSERT_TRUE(sud_setup()); }
FIXTURE_TEARDOWN(kernel_selector) {}

#if SUD_WORD_BITS == 64
FIXTURE_VARIANT_ADD(kernel_selector, half) { KERNEL_HALF };
FIXTURE_VARIANT_ADD(kernel_selector, direct_map) { 0xffff888000000000 };
#endif
FIXTURE_VARIANT_ADD(kernel_selector, text) { KERNEL_TEXT };
FIXTURE_VARIANT_ADD(kernel_selector, top_page) { (sud_uword)-4096 };
FIXTURE_VARIANT_ADD(kernel_selector, top_byte) { KERNEL_TOP };

/*
 * An address that is not the kernel's is accepted. All calls here are exempt.
 */
static void check_not_kernel(struct __test_metadata *_metadata,
			     sud_uword selector)
{
	EXPECT_EQ(0, sud_prctl(SUD_EXCL, SUD_NATIVE_OFFSET, SUD_NATIVE_LENGTH,
			       selector));
	EXPECT_EQ(0, sud_off());
}

TEST_F(kernel_selector, A6_EFAULT)
{
	SUD_REQUIRE();
	if (!sud_full_width()) {
		check_not_kernel(_metadata, variant->selector);
		return;
	}
	EXPECT_EQ(-EFAULT, sud_prctl(SUD_EXCL, 0, 0, variant->selector));
	EXPECT_EQ(-EFAULT, sud_prctl(SUD_EXCL, 0, SUD_UWORD_MAX, variant->selector));
	EXPECT_EQ(-EFAULT, sud_prctl(SUD_EXCL, SUD_NATIVE_OFFSET,
				     SUD_NATIVE_LENGTH, variant->selector));
	EXPECT_EQ(0, sud_probe());
}

TEST_F(kernel_selector, A6_EFAULT_inclusive)
{
	SUD_REQUIRE_INCLUSIVE();
	if (!sud_full_width()) {
		EXPECT_EQ(0, sud_prctl(SUD_INCL, SUD_FOREIGN, 4096,
				       variant->selector));
		EXPECT_EQ(0, sud_off());
		return;
	}
	EXPECT_EQ(-EFAULT, sud_prctl(SUD_INCL, 0, 1, variant->selector));
	EXPECT_EQ(-EFAULT, sud_prctl(SUD_INCL, SUD_FOREIGN, 4096,
				     variant->selector));
	EXPECT_EQ(0, sud_probe());
}

/* OFF takes no selector, so its address is not checked. */
TEST_F(kernel_selector, A6_off_is_EINVAL)
{
	SUD_REQUIRE();
	EXPECT_EQ(-EINVAL, sud_prctl(SUD_OFF, 0, 0, variant->selector));
}

/* Arming reads nothing, and all calls made here are exempt. */
TEST_F(args, A6_unmapped_accepted)
{
	size_t page = sysconf(_SC_PAGESIZE);
	char *p;

	SUD_REQUIRE();
	p = mmap(NULL, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, munmap(p, page));
	EXPECT_EQ(0, sud_arm_native(p));
	EXPECT_EQ(0, sud_arm_native(p + page - 1));
	EXPECT_EQ(0, sud_arm_native((void *)1));
	EXPECT_EQ(0, sud_off());
}

TEST_F(args, A6_prot_none_accepted)
{
	size_t page = sysconf(_SC_PAGESIZE);
	char *p;

	SUD_REQUIRE();
	p = mmap(NULL, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, sud_arm_native(p));
	EXPECT_EQ(0, sud_arm_native(p + page - 1));
	EXPECT_EQ(0, sud_off());

	if (sud_has_inclusive()) {
		EXPECT_EQ(0, sud_arm(SUD_INCL, SUD_FOREIGN, page, p));
		EXPECT_EQ(0, sud_off());
	}
}

/* Arming does not check the byte's value. */
TEST_F(args, A6_any_value_accepted)
{
	SUD_REQUIRE();
	sud_selector = 77;
	EXPECT_EQ(0, sud_arm_native(&sud_selector));
	EXPECT_EQ(0, sud_off());
}

TEST_F(args, A7_op_before_selector)
{
	SUD_REQUIRE();
	EXPECT_EQ(-EINVAL, sud_prctl(3, 0, 0, KERNEL_TOP));
	EXPECT_EQ(-EINVAL, sud_prctl(3, 0, SUD_UWORD_MAX, KERNEL_HALF));
	EXPECT_EQ(-EINVAL, sud_prctl(SUD_UWORD_MAX, 1, 1, KERNEL_TEXT));
	EXPECT_EQ(-EINVAL, sud_prctl(3, 1, 0, KERNEL_TOP));
}

TEST_F(args, A7_off_range_before_selector)
{
	SUD_REQUIRE();
	EXPECT_EQ(-EINVAL, sud_prctl(SUD_OFF, 1, 0, KERNEL_TOP));
	EXPECT_EQ(-EINVAL, sud_prctl(SUD_OFF, 0, 1, KERNEL_TOP));
}

TEST_F(args, A7_range_before_selector)
{
	SUD_REQUIRE();
	EXPECT_EQ(-EINVAL, sud_prctl(SUD_EXCL, 1, 0, KERNEL_TOP));
	if (!sud_full_width())
		return;
	EXPECT_EQ(-EINVAL, sud_prctl(SUD_EXCL, SUD_UWORD_MAX, 1, KERNEL_HALF));
	EXPECT_EQ(-EINVAL, sud_prctl(SUD_EXCL, 2, SUD_UWORD_MAX, KERNEL_TEXT));
}

TEST_F(args, A7_range_before_selector_inclusive)
{
	SUD_REQUIRE_INCLUSIVE();
	EXPECT_EQ(-EINVAL, sud_prctl(SUD_INCL, 0, 0, KERNEL_TOP));
	EXPECT_EQ(-EINVAL, sud_prctl(SUD_INCL, 1, 0, KERNEL_TOP));
	if (!sud_full_width())
		return;
	EXPECT_EQ(-EINVAL, sud_prctl(SUD_INCL, SUD_UWORD_MAX, 1, KERNEL_HALF));
	EXPECT_EQ(-EINVAL, sud_prctl(SUD_INCL, 2, SUD_UWORD_MAX, KERNEL_TEXT));
}

/*
 * A8: calls that fail. Each one offers a range that exempts foreign code, or
 * another selector. The tests notice if the kernel keeps one of these.
 */
struct bad_call {
	const char *name;
	sud_uword op, offset, length;
	/* with EFAULT it is one of the kernel's */
	const volatile void *selector;
	int error;
	/* it is bad only if a register is as wide as the kernel's long */
	bool full_width;
};

static const struct bad_call bad_calls[] = {
	{ "unknown op", 3, 0, SUD_UWORD_MAX, &other_selector, EINVAL, false },
	{ "op -1", SUD_UWORD_MAX, 0, 0, NULL, EINVAL, false },
	{ "OFF with offset", SUD_OFF, 1, 0, NULL, EINVAL, false },
	{ "OFF with length", SUD_OFF, 0, 1, NULL, EINVAL, false },
	{ "OFF with selector", SUD_OFF, 0, 0, &other_selector, EINVAL, false },
	{ "EXCLUSIVE, length 0", SUD_EXCL, 1, 0, &other_selector, EINVAL, false },
	{ "EXCLUSIVE, sum 0", SUD_EXCL, 1, SUD_UWORD_MAX, &other_selector,
	  EINVAL, true },
	{ "EXCLUSIVE, wrap", SUD_EXCL, SUD_FOREIGN, SUD_UWORD_MAX,
	  &other_selector, EINVAL, true },
	{ "EXCLUSIVE, kernel selector", SUD_EXCL, 0, SUD_UWORD_MAX, NULL,
	  EFAULT, true },
	{ "INCLUSIVE, empty", SUD_INCL, 0, 0, &other_selector, EINVAL, false },
	{ "INCLUSIVE, wrap", SUD_INCL, 2, SUD_UWORD_MAX, &other_selector,
	  EINVAL, true },
	{ "INCLUSIVE, kernel selector", SUD_INCL, SUD_NATIVE, 1, NULL,
	  EFAULT, true },
};

/* The next call that is bad here, or NULL. The first is bad everywhere. */
static const struct bad_call *next_bad_call(const struct bad_call *call)
{
	for (call++; call < bad_calls + ARRAY_SIZE(bad_calls); call++) {
		if (!call->full_width || sud_full_width())
			return call;
	}
	return NULL;
}

static long make_bad_call(const struct bad_call *call)
{
	return sud_prctl(call->op, call->offset, call->length,
			 call->error == EFAULT ? KERNEL_TOP :
			 SUD_PTR(call->selector));
}

/* The bad call's result, also if the kernel does not know INCLUSIVE. */
static int bad_error(const struct bad_call *call, bool has_inclusive)
{
	return call->op == SUD_INCL && !has_inclusive ? EINVAL : call->error;
}

static void check_A8(struct __test_metadata *_metadata, sud_uword op,
		     sud_uword offset, sud_uword length, bool has_inclusive)
{
	const struct bad_call *call;

	for (call = bad_calls; call; call = next_bad_call(call)) {
		sud_reset();
		ASSERT_EQ(0, sud_arm(op, offset, length, &sud_selector));
		EXPECT_EQ(-bad_error(call, has_inclusive),
			  make_bad_call(call)) {
			TH_LOG("%s", call->name);
		}

		/*
		 * The selector of the armed thread alone decides, at both
		 * values.
		 */
		other_selector = SUD_ALLOW;
		EXPECT_EQ(1, probe_blocked(&sud_selector)) {
			TH_LOG("%s: the earlier configuration is lost",
			       call->name);
		}
		other_selector = SUD_BLOCK;
		EXPECT_EQ(0, sud_probe()) {
			TH_LOG("%s: the selector has changed", call->name);
		}
		EXPECT_EQ(0, sud_off());
	}
}

TEST_F(args, A8_failing_call_keeps_exclusive)
{
	SUD_REQUIRE();
	check_A8(_metadata, SUD_EXCL, SUD_NATIVE_OFFSET, SUD_NATIVE_LENGTH,
		 sud_has_inclusive());
}

TEST_F(args, A8_failing_call_keeps_inclusive)
{
	SUD_REQUIRE_INCLUSIVE();
	check_A8(_metadata, SUD_INCL, sud_foreign_ip(), 1, true);
}

TEST_F(args, A8_failing_call_keeps_null_selector)
{
	const struct bad_call *call;

	SUD_REQUIRE();
	ASSERT_EQ(0, sud_arm_native(NULL));
	for (call = bad_calls; call; call = next_bad_call(call)) {
		EXPECT_GT(0, make_bad_call(call));
		other_selector = SUD_ALLOW;
		EXPECT_EQ(1, sud_probe()) {
			TH_LOG("%s", call->name);
		}
	}
}

TEST_F(args, A8_failing_call_keeps_off)
{
	const struct bad_call *call;

	SUD_REQUIRE();
	for (call = bad_calls; call; call = next_bad_call(call)) {
		EXPECT_GT(0, make_bad_call(call));
		EXPECT_EQ(0, probe_blocked(&other_selector)) {
			TH_LOG("%s", call->name);
		}
	}
}

TEST_F(args, A9_replaces_selector)
{
	SUD_REQUIRE();
	ASSERT_EQ(0, sud_arm_native(&sud_selector));
	ASSERT_EQ(0, sud_arm_native(&other_selector));
	EXPECT_EQ(0, probe_blocked(&sud_selector));
	EXPECT_EQ(1, probe_blocked(&other_selector));

	ASSERT_EQ(0, sud_arm_native(NULL));
	EXPECT_EQ(1, sud_probe());

	ASSERT_EQ(0, sud_arm_native(&sud_selector));
	EXPECT_EQ(0, sud_probe());
	EXPECT_EQ(1, probe_blocked(&sud_selector));
}

TEST_F(args, A9_replaces_range)
{
	SUD_REQUIRE();
	ASSERT_EQ(0, sud_arm_native(&sud_selector));
	EXPECT_EQ(1, probe_blocked(&sud_selector));
	ASSERT_EQ(0, sud_arm(SUD_EXCL, 0, SUD_UWORD_MAX, &sud_selector));
	EXPECT_EQ(0, probe_blocked(&sud_selector));
	/* Only the offset differs. After that, only the length. */
	ASSERT_EQ(0, sud_arm(SUD_EXCL, SUD_FOREIGN, SUD_NATIVE_LENGTH,
			     &sud_selector));
	EXPECT_EQ(0, probe_blocked(&sud_selector));
	ASSERT_EQ(0, sud_arm_native(&sud_selector));
	EXPECT_EQ(1, probe_blocked(&sud_selector));
}

TEST_F(args, A9_replaces_mode)
{
	size_t page = sysconf(_SC_PAGESIZE);

	SUD_REQUIRE_INCLUSIVE();
	ASSERT_EQ(0, sud_arm_native(&sud_selector));
	EXPECT_EQ(1, probe_blocked(&sud_selector));
	/* The same range in the other mode leaves foreign code exempt. */
	ASSERT_EQ(0, sud_arm(SUD_INCL, SUD_NATIVE_OFFSET, SUD_NATIVE_LENGTH,
			     &sud_selector));
	EXPECT_EQ(0, probe_blocked(&sud_selector));
	ASSERT_EQ(0, sud_arm(SUD_INCL, SUD_FOREIGN, page, &sud_selector));
	EXPECT_EQ(1, probe_blocked(&sud_selector));
	ASSERT_EQ(0, sud_arm_native(&sud_selector));
	EXPECT_EQ(1, probe_blocked(&sud_selector));
}

/* The thread arms itself by a call that the new configuration dispatches. */
TEST_F(args, A9_own_return_is_normal)
{
	long arm, first;

	SUD_REQUIRE();
	sud_selector = SUD_BLOCK;
	arm = sud_foreign_call(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH,
			       SUD_EXCL, SUD_NATIVE_OFFSET, SUD_NATIVE_LENGTH,
			       SUD_PTR(&sud_selector), 0);
	EXPECT_EQ(0, arm);
	EXPECT_EQ(0, sud_count);

	first = sud_foreign_call(SUD_NR_CLOSE, -1, 0, 0, 0, 0, 0);
	EXPECT_EQ(SUD_NR_CLOSE, first);
	EXPECT_EQ(1, sud_count);
}

TEST_F(args, A9_own_return_is_normal_nothing_exempt)
{
	long arm, first;
	unsigned int seen;

	SUD_REQUIRE();
	sud_unblock = &sud_selector;
	sud_selector = SUD_BLOCK;
	arm = sud_arm(SUD_EXCL, 0, 0, &sud_selector);
	seen = sud_count;
	/* The next call is dispatched already. */
	first = syscall(SUD_NR_CLOSE, -1);
	sud_selector = SUD_ALLOW;

	EXPECT_EQ(0, arm);
	EXPECT_EQ(0, seen);
	EXPECT_EQ(SUD_NR_CLOSE, first);
	EXPECT_EQ(1, sud_count);
}

/* Failing calls return normally, too. */
TEST_F(args, A9_failure_from_foreign_code)
{
	SUD_REQUIRE();
	ASSERT_EQ(0, sud_arm_native(&sud_selector));
	EXPECT_EQ(-EINVAL,
		  sud_foreign_call(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH,
				   SUD_OFF, 1, 0, 0, 0));
	EXPECT_EQ(1, probe_blocked(&sud_selector));
}

TEST_F(args, A9_off_from_foreign_code)
{
	long off;

	SUD_REQUIRE();
	ASSERT_EQ(0, sud_arm_native(&sud_selector));
	off = sud_foreign_call(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH,
			       SUD_OFF, 0, 0, 0, 0);
	EXPECT_EQ(0, off);
	EXPECT_EQ(0, probe_blocked(&sud_selector));
}

/* A10: no privilege is needed, and filters may veto. */
static bool has_capabilities(void)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2] = {};

	return syscall(SYS_capget, &header, data) ||
	       data[0].effective || data[1].effective ||
	       data[0].permitted || data[1].permitted;
}

static void check_A10(struct __test_metadata *_metadata)
{
	/* Without root, the test has no privilege to give up. */
	if (geteuid() == 0) {
		ASSERT_EQ(0, setgroups(0, NULL));
		ASSERT_EQ(0, setresgid(NOBODY, NOBODY, NOBODY));
		ASSERT_EQ(0, setresuid(NOBODY, NOBODY, NOBODY));
	}
	ASSERT_FALSE(has_capabilities());

	EXPECT_EQ(0, sud_arm_native(&sud_selector));
	EXPECT_EQ(1, probe_blocked(&sud_selector));
	EXPECT_EQ(0, sud_probe());
	EXPECT_EQ(0, sud_off());
	EXPECT_EQ(0, probe_blocked(&sud_selector));
}

TEST_F(args, A10_unprivileged_may_arm)
{
	SUD_REQUIRE();
	check_A10(_metadata);
}

TEST_F(args, A10_unprivileged_may_arm_with_no_new_privs)
{
	SUD_REQUIRE();
	ASSERT_EQ(0, prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL));
	check_A10(_metadata);
}

TEST_F(args, A10_seccomp_veto)
{
	SUD_REQUIRE();
	SUD_REQUIRE_FILTERS();
	ASSERT_EQ(0, sud_seccomp_veto(SECCOMP_RET_ERRNO | EPERM));
	EXPECT_EQ(-EPERM, sud_arm_native(&sud_selector));
	EXPECT_EQ(0, probe_blocked(&sud_selector));
	EXPECT_EQ(-EPERM, sud_arm(SUD_INCL, SUD_FOREIGN, 4096, &sud_selector));
	EXPECT_EQ(0, probe_blocked(&sud_selector));
	EXPECT_EQ(-EPERM, sud_off());
	/* The filter vetoes before the kernel checks the arguments. */
	EXPECT_EQ(-EPERM, sud_prctl(3, 0, 0, KERNEL_TOP));
}

TEST_F(args, A10_seccomp_veto_keeps_armed)
{
	SUD_REQUIRE();
	SUD_REQUIRE_FILTERS();
	ASSERT_EQ(0, sud_arm_native(&sud_selector));
	ASSERT_EQ(0, sud_seccomp_veto(SECCOMP_RET_ERRNO | EPERM));
	EXPECT_EQ(-EPERM, sud_off());
	EXPECT_EQ(-EPERM, sud_arm_native(&other_selector));
	EXPECT_EQ(1, probe_blocked(&sud_selector));
	EXPECT_EQ(0, probe_blocked(&other_selector));
}

/*
 * A kernel without the feature. These two tests run on every kernel. The
 * results that they expect depend on whether the feature is there.
 */
TEST(A12_all_or_nothing)
{
	bool available = sud_available();
	long expected = available ? 0 : -EINVAL;

	EXPECT_EQ(expected, sud_off());
	EXPECT_EQ(expected, sud_arm_native(&sud_selector));
	EXPECT_EQ(expected, sud_off());
	EXPECT_EQ(expected, sud_arm_native(NULL));
	EXPECT_EQ(expected, sud_off());
	if (sud_full_width())
		EXPECT_EQ(available ? -EFAULT : -EINVAL,
			  sud_prctl(SUD_EXCL, 0, 0, KERNEL_TOP));

	/* Unknown operations fail in the same way. */
	EXPECT_EQ(-EINVAL, sud_prctl(3, 0, 0, 0));
	EXPECT_EQ(-EINVAL, sud_prctl(SUD_UWORD_MAX, 0, 0, 0));

	/* If arming fails, nothing is dispatched. */
	ASSERT_TRUE(sud_setup());
	sud_arm_native(&sud_selector);
	EXPECT_EQ(available, probe_blocked(&sud_selector));
}

/*
 * Count the kernel's symbols that have the feature's name in theirs.
 *
 * Return: how many, or -1 if the kernel lists no symbols.
 */
static int feature_symbols(void)
{
	unsigned long total = 0;
	char line[512];
	int found = 0;
	FILE *f;

	f = fopen("/proc/kallsyms", "r");
	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		total++;
		if (strstr(line, "syscall_user_dispatch"))
			found++;
	}
	fclose(f);
	return total ? found : -1;
}

TEST(K1_code_iff_feature)
{
	bool available = sud_available();
	int found = feature_symbols();

	/*
	 * Without a symbol table, A12_all_or_nothing has tested all there is.
	 */
	if (found < 0)
		return;
	EXPECT_EQ(available, found > 0) {
		TH_LOG("the prctl %s, and the kernel has %d symbols of that name",
		       available ? "works" : "fails", found);
	}
}

/* Direct dispatch is there completely, or each of its requests fails. */
TEST(X1_all_or_nothing)
{
	long option = 0x53554448;	/* PR_SET_SYSCALL_USER_DISPATCH_HANDLER */
	bool direct = prctl(option, 0UL, 0UL, 0UL, 0UL) == 0;

	SUD_REQUIRE();
	ASSERT_EQ(0, sud_arm_native(&sud_selector));
	errno = 0;
	EXPECT_EQ(direct ? 0 : -1, prctl(option, 4096UL, 0UL, 0UL, 0UL));
	EXPECT_EQ(direct ? 0 : EINVAL, errno);
	errno = 0;
	EXPECT_EQ(direct ? 0 : -1, prctl(option, 0UL, 0UL, 0UL, 0UL));
	EXPECT_EQ(direct ? 0 : EINVAL, errno);
	EXPECT_EQ(0, sud_off());
}

TEST_HARNESS_MAIN
