// SPDX-License-Identifier: GPL-2.0
/*
 * Syscall User Dispatch: the region (rules R1 to R5).
 *
 * With most regions here, native code is not exempt. Between arming and the
 * end of a foreign call, nothing else may make a system call. If the selector
 * cannot be set to ALLOW afterwards, foreign code also switches dispatch off.
 * That code is exempt, or its selector allows.
 */
#include "sud.h"

#include <asm/ldt.h>
#include <asm/prctl.h>

#include "sud_regs.h"

#include "sud_harness.h"

/* Two more places for foreign code. The second one starts unmapped. */
#define ELSEWHERE	0x40000UL
#define MOVED		0x60000UL

/* The offset is this far from A, the foreign instruction pointer. */
#define REL_A	0x1
/* The length is this far from A. */
#define LEN_A	0x2

/*
 * A region, and whether the foreign call runs. Each is tested with a good
 * selector (R3: the exact edge), and with bad ones (R1, R2). Those show that
 * the kernel reads the selector only if the call is not exempt.
 */
FIXTURE(region) {
	sud_uword offset, length;
	uint8_t *unreadable;
};

FIXTURE_VARIANT(region) {
	sud_uword op;
	int relative;
	sud_uword offset, length;
	bool runs;
};

FIXTURE_SETUP(region)
{
	unsigned long a = sud_foreign_ip();
	size_t page = sysconf(_SC_PAGESIZE);

	ASSERT_TRUE(sud_setup());
	self->offset = variant->offset + (variant->relative & REL_A ? a : 0);
	self->length = variant->length + (variant->relative & LEN_A ? a : 0);
	self->unreadable = mmap(NULL, page, PROT_NONE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->unreadable);
}

FIXTURE_TEARDOWN(region)
{
}

/* The nine regions of rule R3. */
FIXTURE_VARIANT_ADD(region, excl_from_a_length_1)
{ SUD_EXCL, REL_A, 0, 1, true };
FIXTURE_VARIANT_ADD(region, excl_from_a_minus_2_length_2)
{ SUD_EXCL, REL_A, -2, 2, false };
FIXTURE_VARIANT_ADD(region, excl_from_a_minus_1_length_2)
{ SUD_EXCL, REL_A, -1, 2, true };
FIXTURE_VARIANT_ADD(region, excl_from_a_plus_1_length_100)
{ SUD_EXCL, REL_A, 1, 100, false };
FIXTURE_VARIANT_ADD(region, excl_from_0_length_a)
{ SUD_EXCL, LEN_A, 0, 0, false };
FIXTURE_VARIANT_ADD(region, excl_from_0_length_a_plus_1)
{ SUD_EXCL, LEN_A, 0, 1, true };
FIXTURE_VARIANT_ADD(region, incl_from_a_length_1)
{ SUD_INCL, REL_A, 0, 1, false };
FIXTURE_VARIANT_ADD(region, incl_from_a_minus_2_length_2)
{ SUD_INCL, REL_A, -2, 2, true };
FIXTURE_VARIANT_ADD(region, incl_from_a_minus_2_length_3)
{ SUD_INCL, REL_A, -2, 3, false };

/* Others: everything, nothing, and the ends of the address space. */
FIXTURE_VARIANT_ADD(region, excl_nothing)
{ SUD_EXCL, 0, 0, 0, false };
FIXTURE_VARIANT_ADD(region, excl_everything)
{ SUD_EXCL, 0, 0, SUD_UWORD_MAX, true };
FIXTURE_VARIANT_ADD(region, excl_all_but_0)
{ SUD_EXCL, 0, 1, SUD_UWORD_MAX - 1, true };
FIXTURE_VARIANT_ADD(region, excl_top)
{ SUD_EXCL, 0, SUD_UWORD_MAX - 1, 1, false };
FIXTURE_VARIANT_ADD(region, excl_from_a_minus_1_length_1)
{ SUD_EXCL, REL_A, -1, 1, false };
FIXTURE_VARIANT_ADD(region, excl_native)
{ SUD_EXCL, 0, SUD_NATIVE_OFFSET, SUD_NATIVE_LENGTH, false };
FIXTURE_VARIANT_ADD(region, incl_everything)
{ SUD_INCL, 0, 0, SUD_UWORD_MAX, false };
FIXTURE_VARIANT_ADD(region, incl_all_but_0)
{ SUD_INCL, 0, 1, SUD_UWORD_MAX - 1, false };
FIXTURE_VARIANT_ADD(region, incl_top)
{ SUD_INCL, 0, SUD_UWORD_MAX - 1, 1, true };
FIXTURE_VARIANT_ADD(region, incl_from_0_length_1)
{ SUD_INCL, 0, 0, 1, true };
FIXTURE_VARIANT_ADD(region, incl_from_0_length_a)
{ SUD_INCL, LEN_A, 0, 0, true };
FIXTURE_VARIANT_ADD(region, incl_from_0_length_a_plus_1)
{ SUD_INCL, LEN_A, 0, 1, false };
FIXTURE_VARIANT_ADD(region, incl_from_a_minus_1_length_1)
{ SUD_INCL, REL_A, -1, 1, true };
FIXTURE_VARIANT_ADD(region, incl_from_a_minus_1_length_2)
{ SUD_INCL, REL_A, -1, 2, false };
FIXTURE_VARIANT_ADD(region, incl_from_a_plus_1_length_100)
{ SUD_INCL, REL_A, 1, 100, true };
FIXTURE_VARIANT_ADD(region, incl_native)
{ SUD_INCL, 0, SUD_NATIVE_OFFSET, SUD_NATIVE_LENGTH, true };

#define REQUIRE_MODE(op) do {						\
	SUD_REQUIRE();							\
	if ((op) == SUD_INCL)						\
		SUD_REQUIRE_INCLUSIVE();				\
} while (0)

static long foreign_close(void)
{
	return sud_foreign_call(SUD_NR_CLOSE, -1, 0, 0, 0, 0, 0);
}

static long foreign_off(void)
{
	return sud_foreign_call(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH,
				SUD_OFF, 0, 0, 0, 0);
}

TEST_F(region, R3_edges_are_exact)
{
	long armed, ret;

	REQUIRE_MODE(variant->op);
	sud_unblock = &sud_selector;
	armed = sud_arm(variant->op, self->offset, self->length, &sud_selector);
	sud_selector = SUD_BLOCK;
	ret = foreign_close();
	sud_selector = SUD_ALLOW;

	EXPECT_EQ(0, armed);
	EXPECT_EQ(variant->runs ? -EBADF : SUD_NR_CLOSE, ret);
	EXPECT_EQ(!variant->runs, sud_count);
	if (!variant->runs)
		EXPECT_EQ((void *)sud_foreign_ip(), sud_log[0].info.si_call_addr);
}

/* If the selector allows, the region does not matter. */
TEST_F(region, R3_allowed_anywhere)
{
	long armed, ret;

	REQUIRE_MODE(variant->op);
	armed = sud_arm(variant->op, self->offset, self->length, &sud_selector);
	ret = foreign_close();

	EXPECT_EQ(0, armed);
	EXPECT_EQ(-EBADF, ret);
	EXPECT_EQ(0, sud_count);
}

/* A child with a bad selector: it can end only by exit(0). */
struct bad_selector {
	sud_uword op, offset, length;
	volatile uint8_t *selector;
	uint8_t value;
};

static int call_with_bad_selector(void *arg)
{
	struct bad_selector *bad = arg;
	long armed, ret, off;

	sud_selector = SUD_ALLOW;
	armed = sud_arm(bad->op, bad->offset, bad->length,
			&sud_selector);
	if (armed)
		return 1;
	/* Foreign code arms, so the next call is a foreign one, too. */
	if (bad->selector)
		armed = sud_foreign_call(SYS_prctl,
					 PR_SET_SYSCALL_USER_DISPATCH, bad->op,
					 bad->offset, bad->length,
					 SUD_PTR(bad->selector), 0);
	else
		sud_selector = bad->value;
	ret = foreign_close();
	off = foreign_off();

	/* Off again, unless the process was killed. */
	return armed ? 2 : off ? 3 : ret != -EBADF ? 4 : 0;
}

#define CHECK_BAD(op_, selector_, value_, sig) do {			\
	struct bad_selector bad = {					\
		.op = op_,						\
		.offset = self->offset,					\
		.length = self->length,					\
		.selector = selector_,					\
		.value = value_,					\
	};								\
	int status = sud_run_child(call_with_bad_selector, &bad);	\
									\
	EXPECT_TRUE(variant->runs ? sud_exited(status, 0)		\
				  : sud_killed(status, sig)) {		\
		TH_LOG("wait status %#x", status);			\
	}								\
} while (0)

TEST_F(region, R1_R2_unreadable_selector)
{
	REQUIRE_MODE(variant->op);
	CHECK_BAD(variant->op, self->unreadable, 0, SIGSEGV);
}

TEST_F(region, R1_R2_nonsense_selector)
{
	REQUIRE_MODE(variant->op);
	CHECK_BAD(variant->op, NULL, 77, SIGSYS);
}

/*
 * Even a read without consequences must not happen: the page of zeros says
 * ALLOW, and is present after the first read.
 */
TEST_F(region, R1_R2_selector_of_exempt_calls_is_not_read)
{
	size_t page = sysconf(_SC_PAGESIZE);
	unsigned char core = 0xff;
	long armed, ret, off;
	void *selector;

	REQUIRE_MODE(variant->op);
	selector = mmap(NULL, page, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, selector);
	armed = sud_arm(variant->op, self->offset, self->length, selector);
	ret = foreign_close();
	off = foreign_off();

	EXPECT_EQ(0, armed);
	EXPECT_EQ(-EBADF, ret);
	EXPECT_EQ(0, off);
	ASSERT_EQ(0, mincore(selector, page, &core));
	EXPECT_EQ(!variant->runs, core & 1);
}

/*
 * Only the calls of rules R1 and R2 are exempt: a region in one mode is the
 * inverse of the same region in the other mode.
 */
TEST(R1_R2_modes_are_complements)
{
	unsigned long a = sud_foreign_ip();
	unsigned long offset, length;
	int excl, incl;

	SUD_REQUIRE_INCLUSIVE();
	ASSERT_TRUE(sud_setup());
	sud_unblock = &sud_selector;
	for (offset = a - 3; offset <= a + 2; offset++) {
		for (length = 1; length <= 5; length++) {
			excl = sud_arm(SUD_EXCL, offset, length, &sud_selector);
			sud_selector = SUD_BLOCK;
			excl = excl ?: sud_probe();
			sud_selector = SUD_ALLOW;

			incl = sud_arm(SUD_INCL, offset, length, &sud_selector);
			sud_selector = SUD_BLOCK;
			incl = incl ?: sud_probe();
			sud_selector = SUD_ALLOW;

			EXPECT_EQ(!(a - offset < length), excl) {
				TH_LOG("EXCL(A%+ld, %lu)", (long)(offset - a),
				       length);
			}
			EXPECT_EQ(a - offset < length, incl) {
				TH_LOG("INCL(A%+ld, %lu)", (long)(offset - a),
				       length);
			}
		}
	}
}

/* R4: a range of addresses, not a mapping. */
FIXTURE(mapping) {
	size_t page;
};

FIXTURE_SETUP(mapping)
{
	self->page = sysconf(_SC_PAGESIZE);
	ASSERT_TRUE(sud_setup());
}

FIXTURE_TEARDOWN(mapping)
{
}

/*
 * Make a call by foreign code at @addr with the selector at BLOCK.
 *
 * Return: 1 dispatched, 0 ran, -1 anything else.
 */
static int probe_at(unsigned long addr)
{
	unsigned int before = sud_count;
	long ret;

	sud_unblock = &sud_selector;
	sud_selector = SUD_BLOCK;
	ret = ((sud_call_fn *)addr)(SUD_NR_CLOSE, -1, 0, 0, 0, 0, 0);
	sud_selector = SUD_ALLOW;
	if (ret == -EBADF && sud_count == before)
		return 0;
	if (ret == SUD_NR_CLOSE && sud_count == before + 1)
		return 1;
	return -1;
}

TEST_F(mapping, R4_unmapped_exclusive)
{
	SUD_REQUIRE();
	ASSERT_EQ(0, sud_arm(SUD_EXCL, ELSEWHERE, self->page, &sud_selector));
	EXPECT_EQ(1, probe_at(SUD_FOREIGN));
	/* Map it only now. */
	ASSERT_TRUE(sud_foreign_map_at(ELSEWHERE));
	EXPECT_EQ(0, probe_at(ELSEWHERE));
	EXPECT_EQ(1, probe_at(SUD_FOREIGN));
}

TEST_F(mapping, R4_unmapped_inclusive)
{
	SUD_REQUIRE_INCLUSIVE();
	ASSERT_EQ(0, sud_arm(SUD_INCL, ELSEWHERE, self->page, &sud_selector));
	EXPECT_EQ(0, probe_at(SUD_FOREIGN));
	ASSERT_TRUE(sud_foreign_map_at(ELSEWHERE));
	EXPECT_EQ(1, probe_at(ELSEWHERE));
	EXPECT_EQ(0, probe_at(SUD_FOREIGN));
}

/* A range from 0 covers the page that can never be mapped. */
TEST_F(mapping, R4_range_over_mapped_and_unmapped_pages)
{
	SUD_REQUIRE();
	ASSERT_EQ(0, sud_arm(SUD_EXCL, 0, ELSEWHERE, &sud_selector));
	EXPECT_EQ(0, probe_at(SUD_FOREIGN));
	ASSERT_TRUE(sud_foreign_map_at(ELSEWHERE));
	EXPECT_EQ(1, probe_at(ELSEWHERE));
}

static void check_move(struct __test_metadata *_metadata, sud_uword op,
		       size_t page, int inside)
{
	void *moved;

	ASSERT_TRUE(sud_foreign_map_at(ELSEWHERE));
	ASSERT_EQ(0, sud_arm(op, ELSEWHERE, page, &sud_selector));
	EXPECT_EQ(inside, probe_at(ELSEWHERE));

	moved = mremap((void *)ELSEWHERE, page, page,
		       MREMAP_MAYMOVE | MREMAP_FIXED, (void *)MOVED);
	ASSERT_EQ((void *)MOVED, moved);
	/* The code has moved, but the range has not. */
	EXPECT_EQ(!inside, probe_at(MOVED));
	ASSERT_TRUE(sud_foreign_map_at(ELSEWHERE));
	EXPECT_EQ(inside, probe_at(ELSEWHERE));
	EXPECT_EQ(!inside, probe_at(MOVED));
}

TEST_F(mapping, R4_mremap_exclusive)
{
	SUD_REQUIRE();
	check_move(_metadata, SUD_EXCL, self->page, 0);
}

TEST_F(mapping, R4_mremap_inclusive)
{
	SUD_REQUIRE_INCLUSIVE();
	check_move(_metadata, SUD_INCL, self->page, 1);
}

static void check_munmap(struct __test_metadata *_metadata, sud_uword op,
			 size_t page, int inside)
{
	ASSERT_TRUE(sud_foreign_map_at(ELSEWHERE));
	ASSERT_EQ(0, sud_arm(op, ELSEWHERE, page, &sud_selector));
	EXPECT_EQ(inside, probe_at(ELSEWHERE));
	ASSERT_EQ(0, munmap((void *)ELSEWHERE, page));
	EXPECT_EQ(!inside, probe_at(SUD_FOREIGN));
	/* Other memory at the same address. */
	ASSERT_TRUE(sud_foreign_map_at(ELSEWHERE));
	EXPECT_EQ(inside, probe_at(ELSEWHERE));
}

TEST_F(mapping, R4_munmap_exclusive)
{
	SUD_REQUIRE();
	check_munmap(_metadata, SUD_EXCL, self->page, 0);
}

TEST_F(mapping, R4_munmap_inclusive)
{
	SUD_REQUIRE_INCLUSIVE();
	check_munmap(_metadata, SUD_INCL, self->page, 1);
}

/*
 * R5: no segment base is added. If the kernel added it, a region that holds A
 * + base would match. In 64-bit mode the processor ignores the base of the
 * code segment. Only FS and GS can have one.
 */
#if SUD_WORD_BITS == 64
static unsigned long base_area[512];

static void check_base(struct __test_metadata *_metadata, int set, int get)
{
	sud_uword base = SUD_PTR(&base_area[256]);
	sud_uword linear = sud_foreign_ip() + base;
	sud_uword old, now;
	long got, put, back;
	int at_a, at_linear;

	/*
	 * While FS is changed, the thread pointer and errno are lost. All
	 * calls are foreign, the selector is at ALLOW for them, and no
	 * assertion is made until FS is restored.
	 */
	got = sud_foreign_call(SYS_arch_prctl, get, SUD_PTR(&old), 0, 0, 0, 0);
	ASSERT_EQ(0, got);

	ASSERT_EQ(0, sud_arm(SUD_INCL, sud_foreign_ip(), 1, &sud_selector));
	put = sud_foreign_call(SYS_arch_prctl, set, base, 0, 0, 0, 0);
	got = sud_foreign_call(SYS_arch_prctl, get, SUD_PTR(&now), 0, 0, 0, 0);
	sud_selector = SUD_BLOCK;
	at_a = sud_probe();
	sud_selector = SUD_ALLOW;
	back = sud_foreign_call(SYS_arch_prctl, set, old, 0, 0, 0, 0);
	EXPECT_EQ(0, put);
	EXPECT_EQ(0, got);
	EXPECT_EQ(0, back);
	EXPECT_EQ(base, now);
	EXPECT_EQ(1, at_a);

	ASSERT_EQ(0, sud_arm(SUD_INCL, linear, 1, &sud_selector));
	put = sud_foreign_call(SYS_arch_prctl, set, base, 0, 0, 0, 0);
	sud_selector = SUD_BLOCK;
	at_linear = sud_probe();
	sud_selector = SUD_ALLOW;
	back = sud_foreign_call(SYS_arch_prctl, set, old, 0, 0, 0, 0);
	EXPECT_EQ(0, put);
	EXPECT_EQ(0, back);
	EXPECT_EQ(0, at_linear);
}

TEST_F(mapping, R5_gs_base_ignored)
{
	SUD_REQUIRE_INCLUSIVE();
	check_base(_metadata, ARCH_SET_GS, ARCH_GET_GS);
}

TEST_F(mapping, R5_fs_base_ignored)
{
	SUD_REQUIRE_INCLUSIVE();
	check_base(_metadata, ARCH_SET_FS, ARCH_GET_FS);
}

#else /* 32 bits */

#define CS_BASE 0x8000

/* With a code-segment base, the instruction pointer is not the address. */
TEST_F(mapping, R5_cs_base_ignored)
{
	struct user_desc desc = {
		.base_addr = CS_BASE,
		.limit = 0xfffff,
		.limit_in_pages = 1,
		.seg_32bit = 1,
		.contents = MODIFY_LDT_CONTENTS_CODE,
	};
	unsigned long ip = SUD_REGS_FAR_IP - CS_BASE;

	SUD_REQUIRE_INCLUSIVE();
	if (syscall(SYS_modify_ldt, 1, &desc, sizeof(desc))) {
		if (errno == ENOSYS)
			SKIP(return, "no modify_ldt() in this kernel");
		ASSERT_EQ(0, errno);
	}
	ASSERT_TRUE(sud_regs_map());
	/* The first segment of the local table, for user mode. */
	ASSERT_TRUE(sud_regs_map_far(7, CS_BASE));
	sud_regs->in[SUD_AX] = SUD_NR_CLOSE;
	sud_regs->in[SUD_BX] = (sud_uword)-1;

	ASSERT_EQ(0, sud_arm(SUD_INCL, ip, 1, &sud_selector));
	sud_selector = SUD_BLOCK;
	sud_regs_call();
	sud_selector = SUD_ALLOW;
	EXPECT_EQ(SUD_NR_CLOSE, sud_regs->out[SUD_AX]);
	ASSERT_EQ(1, sud_count);
	EXPECT_EQ((void *)ip, sud_log[0].info.si_call_addr);
	EXPECT_EQ(ip, (unsigned long)SUD_REG_IP(&sud_log[0].uc));

	ASSERT_EQ(0, sud_arm(SUD_INCL, SUD_REGS_FAR_IP, 1, &sud_selector));
	sud_selector = SUD_BLOCK;
	sud_regs_call();
	sud_selector = SUD_ALLOW;
	EXPECT_EQ(-EBADF, (sud_word)sud_regs->out[SUD_AX]);
	EXPECT_EQ(1, sud_count);
}
#endif

TEST_HARNESS_MAIN
