/* A library to preload into a process. It places every block that libtorch allocates for tensors and scratch memory
 * (posix_memalign) directly before inaccessible memory. An access beyond the end of a block is counted when it happens, and the
 * process continues: heap_guard_overruns counts the pages, and the last line on standard error reports them. 64-bit Linux only. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define PAGE ((size_t)4096)
#define ARENA ((size_t)16 << 40)
/* Distance between two blocks; a longer overrun reaches the next block. */
#define GUARD ((size_t)4 << 20)

/* Layout of a block: a page that holds the length of what follows, the block itself, which ends at the end of a page, and the
 * guard. Addresses are never reused, so that freed memory is guarded too. */
static char *arena;
static _Atomic size_t used;
extern void __libc_free(void *);

atomic_long heap_guard_overruns;

static int is_guarded(const void *at) { return arena && (char *)at >= arena && (char *)at < arena + ARENA; }

/* Counts the access and allows it. */
static void on_fault(int number, siginfo_t *info, void *context) {
  (void)number, (void)context;
  char *page = (char *)((uintptr_t)info->si_addr & ~(PAGE - 1));
  if (is_guarded(page) && mprotect(page, PAGE, PROT_READ | PROT_WRITE) == 0) {
    heap_guard_overruns++;
    return;
  }
  signal(SIGSEGV, SIG_DFL);
}

/* Ends the process, since libtorch would continue without memory and crash elsewhere. */
static void give_up(const char *why) {
  fprintf(stderr, "heap_guard: %s\n", why);
  _Exit(1);
}

/* Runs at the first allocation, since libtorch's initializers allocate before this library's own initializer would run. */
static void begin(void) {
  struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigaction(SIGSEGV, &action, NULL);
  void *map = mmap(NULL, ARENA, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (map == MAP_FAILED) give_up("no address space");
  arena = map;
}

__attribute__((destructor)) static void end(void) { fprintf(stderr, "heap_guard: %ld overruns\n", heap_guard_overruns); }

int posix_memalign(void **out, size_t alignment, size_t size) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, begin);
  size_t room = (size + alignment + PAGE - 1) & ~(PAGE - 1);
  size_t at = atomic_fetch_add(&used, PAGE + room + GUARD);
  if (at + PAGE + room + GUARD > ARENA) give_up("out of addresses: run fewer cases per process");
  char *head = arena + at, *block = head + PAGE;
  if (mprotect(head, PAGE + room, PROT_READ | PROT_WRITE)) give_up("no more mappings (vm.max_map_count)");
  *(size_t *)head = room;
  block = (char *)((uintptr_t)(block + room - size) & ~(uintptr_t)(alignment - 1));
  /* To free a block, its head is found through the page before its first page. */
  *(char **)(((uintptr_t)block & ~(PAGE - 1)) - sizeof(char *)) = head;
  *out = block;
  return 0;
}

void free(void *block) {
  if (!is_guarded(block)) {
    __libc_free(block);
    return;
  }
  char *head = *(char **)(((uintptr_t)block & ~(PAGE - 1)) - sizeof(char *));
  size_t length = PAGE + *(size_t *)head + GUARD;
  mmap(head, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}
