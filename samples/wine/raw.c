// SPDX-License-Identifier: GPL-2.0
/*
 * A Windows program that makes system calls as some games do. It reads their
 * numbers from ntdll's exports and has its own syscall instruction. It makes
 * every call through the export too. The results show which side served the raw
 * call: ntdll.so, or Linux, which took the number for one of its own.
 *
 * Prints one line a subject, for harness/do wine.py. Exit status: 42, given by a
 * raw NtTerminateProcess; 43, that call came back; 3, something is missing.
 *
 * Usage: raw.exe             all calls
 *        raw.exe exports     only the calls through the exports
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>
#include <winternl.h>
#include <x86intrin.h>

#define ARRAY_SIZE(x) (sizeof(x) / sizeof((x)[0]))

/* The exit status that only a raw call sets. */
#define BY_RAW_CALL 42

/* Each call is made in a number of batches, and each batch is timed. */
#define BATCHES 21
#define THREADS 4
#define SUSPENSIONS 20

/* A number that neither Windows nor Linux has. */
#define NO_SUCH_CALL 0xfff

enum { WRITE, ALLOCATE, COUNTER, NONE, TERMINATE, CALLS };

enum server { NTDLL, LINUX, WRONG, SERVERS };

struct tally {
	LONG served[SERVERS];
	uint64_t first_result;
};

/*
 * number_NAME is the call's number and raw_NAME() makes it. The registers of
 * Linux's first two arguments hold -1, so that Linux gives a clear answer. Their
 * former values are kept in the four words of the caller's stack that belong to
 * the callee.
 */
#define RAW_CALL(name)						\
	uint32_t number_##name;					\
	asm(".text\n"						\
	    ".globl raw_" #name "\n"				\
	    "raw_" #name ":\n\t"				\
	    "movq %rdi, 8(%rsp)\n\t"				\
	    "movq %rsi, 16(%rsp)\n\t"				\
	    "movq $-1, %rdi\n\t"				\
	    "movq $-1, %rsi\n\t"				\
	    "movq %rcx, %r10\n\t"				\
	    "movl number_" #name "(%rip), %eax\n\t"		\
	    "syscall\n\t"					\
	    "movq 8(%rsp), %rdi\n\t"				\
	    "movq 16(%rsp), %rsi\n\t"				\
	    "ret\n")

RAW_CALL(NtWriteFile);
RAW_CALL(NtAllocateVirtualMemory);
RAW_CALL(NtQueryPerformanceCounter);
RAW_CALL(NtTerminateProcess);
RAW_CALL(none);

/* All 64 bits of the result: an NT status has 32. */
typedef uint64_t write_fn(HANDLE file, HANDLE event, void *apc, void *apc_arg,
			  IO_STATUS_BLOCK *io, const void *data, ULONG length,
			  LARGE_INTEGER *offset, ULONG *key);
typedef uint64_t allocate_fn(HANDLE process, void **base, ULONG_PTR zero_bits,
			     SIZE_T *size, ULONG type, ULONG protect);
typedef uint64_t counter_fn(LARGE_INTEGER *counter, LARGE_INTEGER *frequency);

write_fn raw_NtWriteFile;
allocate_fn raw_NtAllocateVirtualMemory;
counter_fn raw_NtQueryPerformanceCounter;
uint64_t raw_NtTerminateProcess(HANDLE process, LONG status);
uint64_t raw_none(void *argument);

static struct {
	const char *name;
	uint32_t *number;
	int batch;
	void *export;
} calls[CALLS] = {
	[WRITE] = { "NtWriteFile", &number_NtWriteFile, 50 },
	[ALLOCATE] = { "NtAllocateVirtualMemory", &number_NtAllocateVirtualMemory, 50 },
	[COUNTER] = { "NtQueryPerformanceCounter", &number_NtQueryPerformanceCounter, 200 },
	[NONE] = { "none", &number_none, 50 },
	[TERMINATE] = { "NtTerminateProcess", &number_NtTerminateProcess, 0 },
};

/* Each write has its own record at its own place. Counts the writes. */
static const char record[] = "sixteen letters\n";
#define RECORD 16

static HANDLE file;
static LONG places;
static LONG written;
static char *reserved;
static volatile LONG stop;

static void fail(const char *what)
{
	printf("raw: broken: %s (error %lu)\n", what, GetLastError());
	fflush(stdout);
	ExitProcess(3);
}

/* mov r10, rcx; mov eax, number */
static void read_numbers(void)
{
	HMODULE ntdll = GetModuleHandleA("ntdll.dll");
	int i;

	for (i = 0; i < CALLS; i++) {
		const uint8_t *code;

		if (i == NONE) {
			*calls[i].number = NO_SUCH_CALL;
			continue;
		}
		code = (const uint8_t *)GetProcAddress(ntdll, calls[i].name);
		if (!code)
			fail(calls[i].name);
		calls[i].export = (void *)code;
		if (memcmp(code, "\x4c\x8b\xd1\xb8", 4))
			fail("an export that does not begin with the call's number");
		memcpy(calls[i].number, code + 4, 4);
		printf("raw: number %s %#x\n", calls[i].name, *calls[i].number);
	}
}

/*
 * Returns which side served a call that should have returned @expected. The
 * effect of the call counts too. An NT status has 32 bits. A status of an error
 * or a warning comes from ntdll, even if it is unexpected. Linux returns a small
 * negative errno. If the number happens to succeed there, Linux returns another
 * value, and the effect is missing.
 */
static enum server who(uint64_t result, uint32_t expected, BOOL effect)
{
	if (result == expected && effect)
		return NTDLL;
	return result >= 0x40000000 && result <= UINT32_MAX ? WRONG : LINUX;
}

/* Makes a call once, and returns which side served it. */
static enum server call(int which, BOOL raw, uint64_t *result)
{
	switch (which) {
	case WRITE: {
		write_fn *write = raw ? raw_NtWriteFile : calls[which].export;
		IO_STATUS_BLOCK io = { .Information = 0 };
		LARGE_INTEGER place = { .QuadPart = RECORD * (InterlockedIncrement(&places) - 1) };
		enum server server;

		*result = write(file, NULL, NULL, NULL, &io, record, RECORD, &place, NULL);
		server = who(*result, 0, io.Information == RECORD);
		if (server == NTDLL)
			InterlockedIncrement(&written);
		return server;
	}
	case ALLOCATE: {
		allocate_fn *allocate = raw ? raw_NtAllocateVirtualMemory : calls[which].export;
		void *base = reserved + 0x123;
		SIZE_T size = 1;

		/* It returns the size that it committed: whole pages. */
		*result = allocate(GetCurrentProcess(), &base, 0, &size, MEM_COMMIT, PAGE_READWRITE);
		return who(*result, 0, base == reserved && size == 0x1000);
	}
	case COUNTER: {
		counter_fn *query = raw ? raw_NtQueryPerformanceCounter : calls[which].export;
		LARGE_INTEGER counter = { .QuadPart = -1 }, frequency = { .QuadPart = -1 };

		*result = query(&counter, &frequency);
		return who(*result, 0, counter.QuadPart > 0 && frequency.QuadPart > 0);
	}
	default:
		/* NT has no such number, and returns an error of the kind "invalid". */
		*result = raw_none(NULL);
		return who(*result, *result, (uint32_t)*result >> 28 == 0xc);
	}
}

static void count(struct tally *tally, enum server server, uint64_t result)
{
	if (!tally->served[NTDLL] && !tally->served[LINUX] && !tally->served[WRONG])
		tally->first_result = result;
	tally->served[server]++;
}

static int by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static void print(const char *how, const char *name, const struct tally *tally)
{
	printf("raw: %s %s ntdll %ld linux %ld wrong %ld first %#llx", how, name, tally->served[NTDLL],
	       tally->served[LINUX], tally->served[WRONG], (unsigned long long)tally->first_result);
}

/*
 * Makes a call many times. Prints which side served it, and the median, the
 * shortest and the longest of its times. They are ticks of the CPU's counter. A
 * guest that could not measure the counter's frequency has only a coarse clock.
 */
static void many(int which, BOOL raw)
{
	int64_t ticks[BATCHES];
	struct tally tally = {};
	int batch, i;

	for (batch = 0; batch < BATCHES; batch++) {
		int64_t start = __rdtsc();

		for (i = 0; i < calls[which].batch; i++) {
			uint64_t result;
			enum server server = call(which, raw, &result);

			count(&tally, server, result);
		}
		ticks[batch] = ((int64_t)__rdtsc() - start) / calls[which].batch;
	}
	qsort(ticks, BATCHES, sizeof(ticks[0]), by_value);
	print(raw ? "raw" : "export", calls[which].name, &tally);
	printf(" ticks %lld %lld %lld\n", (long long)ticks[BATCHES / 2],
	       (long long)ticks[0], (long long)ticks[BATCHES - 1]);
}

static DWORD WINAPI thread(void *arg)
{
	struct tally *tally = arg;

	while (!stop || tally->served[NTDLL] + tally->served[LINUX] + tally->served[WRONG] < 500) {
		int which;

		for (which = WRITE; which < NONE; which++) {
			uint64_t result;
			enum server server = call(which, TRUE, &result);

			count(tally, server, result);
		}
	}
	return 0;
}

/* Each thread arms itself, and a signal suspends it. Neither may lose a call. */
static void threads(void)
{
	struct tally tallies[THREADS] = {}, sum = {};
	HANDLE handles[THREADS];
	int i, j;

	for (i = 0; i < THREADS; i++) {
		handles[i] = CreateThread(NULL, 0, thread, &tallies[i], 0, NULL);
		if (!handles[i])
			fail("CreateThread");
	}
	for (i = 0; i < SUSPENSIONS; i++) {
		CONTEXT context = { .ContextFlags = CONTEXT_FULL };
		HANDLE handle = handles[i % THREADS];

		if (SuspendThread(handle) == (DWORD)-1 || !GetThreadContext(handle, &context) ||
		    ResumeThread(handle) == (DWORD)-1)
			fail("a thread cannot be suspended");
		Sleep(1);
	}
	stop = 1;
	if (WaitForMultipleObjects(THREADS, handles, TRUE, INFINITE) != WAIT_OBJECT_0)
		fail("WaitForMultipleObjects");
	for (i = 0; i < THREADS; i++) {
		if (!i)
			sum.first_result = tallies[i].first_result;
		for (j = 0; j < SERVERS; j++)
			sum.served[j] += tallies[i].served[j];
	}
	print("raw", "threads", &sum);
	printf("\n");
}

static struct tally in_handler;
static void *guarded;

static LONG CALLBACK handler(EXCEPTION_POINTERS *exception)
{
	uint64_t result;
	enum server server;

	if (exception->ExceptionRecord->ExceptionCode != EXCEPTION_ACCESS_VIOLATION)
		return EXCEPTION_CONTINUE_SEARCH;
	server = call(COUNTER, TRUE, &result);
	count(&in_handler, server, result);
	if (!VirtualAlloc(guarded, 4096, MEM_COMMIT, PAGE_READWRITE))
		fail("VirtualAlloc");
	return EXCEPTION_CONTINUE_EXECUTION;
}

/* An exception begins as a signal. Calls in its handler and after it are ordinary calls of Windows code. */
static void exceptions(void)
{
	void *cookie = AddVectoredExceptionHandler(1, handler);
	uint64_t result;
	int i;

	for (i = 0; i < 20; i++) {
		enum server server;

		guarded = VirtualAlloc(NULL, 4096, MEM_RESERVE, PAGE_READWRITE);
		if (!guarded)
			fail("VirtualAlloc");
		*(volatile char *)guarded = 1;
		server = call(COUNTER, TRUE, &result);
		count(&in_handler, server, result);
		VirtualFree(guarded, 0, MEM_RELEASE);
	}
	RemoveVectoredExceptionHandler(cookie);
	print("raw", "exceptions", &in_handler);
	printf("\n");
}

/* Check that the file has all records. */
static void read_back(void)
{
	char buffer[RECORD];
	LONG found = 0;
	DWORD length;

	SetFilePointer(file, 0, NULL, FILE_BEGIN);
	while (ReadFile(file, buffer, RECORD, &length, NULL) && length == RECORD)
		found += !memcmp(buffer, record, RECORD);
	printf("raw: file %ld of %ld\n", found, written);
}

int main(int argc, char **argv)
{
	BOOL raw = argc < 2 || strcmp(argv[1], "exports");
	uint64_t result;
	int i;

	setvbuf(stdout, NULL, _IONBF, 0);
	printf("raw: begin\n");
	file = CreateFileA("C:\\raw.txt", GENERIC_READ | GENERIC_WRITE, 0, NULL, CREATE_ALWAYS, 0, NULL);
	if (file == INVALID_HANDLE_VALUE)
		fail("CreateFile");
	reserved = VirtualAlloc(NULL, 0x10000, MEM_RESERVE, PAGE_READWRITE);
	if (!reserved)
		fail("VirtualAlloc");
	read_numbers();
	for (i = WRITE; i < NONE; i++)
		many(i, FALSE);
	printf("raw: exports end\n");
	if (!raw)
		return 0;
	for (i = WRITE; i <= NONE; i++)
		many(i, TRUE);
	exceptions();
	threads();
	read_back();
	printf("raw: end\n");
	result = raw_NtTerminateProcess(GetCurrentProcess(), BY_RAW_CALL);
	printf("raw: raw NtTerminateProcess came back %#llx\n", (unsigned long long)result);
	ExitProcess(43);
}
