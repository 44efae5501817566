// A test double for NCCL on device memory, with one rank. The real library returns from a sum over one rank before anything is
// queued, so a single GPU could not verify ordering. This double takes 20 ms on the given stream and doubles its input: reading
// a sum too early, or starting it before its input is complete, gives a wrong result.
//
// CUDA's functions are looked up in the process, so CUDA is not needed to compile this file. In a process without CUDA the
// memory is host memory and calls execute immediately.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SUCCESS = 0, INTERNAL_ERROR = 3, INVALID_ARGUMENT = 4, INVALID_USAGE = 5 };
enum { FLOAT32 = 7, FLOAT64 = 8 };
enum { SUM = 0 };
// Staging buffers for sums, used in turn. They are page-locked: otherwise the copies themselves would block the host.
enum { PLACES = 64, PLACE_BYTES = 1 << 20 };
enum { TO_DEVICE = 1, TO_HOST = 2 };

typedef struct { char text[128]; } UniqueId;

typedef struct {
  atomic_int busy;
  size_t count;
  int type;
  char *bytes;
} Place;

typedef struct {
  Place places[PLACES];
  unsigned next;
} Comm;

static int (*launch_host_func)(void *, void (*)(void *), void *);
static int (*memcpy_async)(void *, const void *, size_t, int, void *);
static int (*host_alloc)(void **, size_t, unsigned);

static void find_cuda(void) {
  launch_host_func = dlsym(RTLD_DEFAULT, "cudaLaunchHostFunc");
  memcpy_async = dlsym(RTLD_DEFAULT, "cudaMemcpyAsync");
  host_alloc = dlsym(RTLD_DEFAULT, "cudaHostAlloc");
}

static void delay(void *ignored) {
  (void)ignored;
  nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
}

static void twice(void *argument) {
  Place *place = argument;
  for (size_t i = 0; i < place->count; i++) {
    if (place->type == FLOAT32)
      ((float *)place->bytes)[i] *= 2;
    else
      ((double *)place->bytes)[i] *= 2;
  }
}

static void leave(void *argument) { atomic_store(&((Place *)argument)->busy, 0); }

int ncclGetVersion(int *version) {
  *version = 22809;
  return SUCCESS;
}

const char *ncclGetErrorString(int code) { return code == SUCCESS ? "no error" : "an error of the device double"; }
const char *ncclGetLastError(Comm *comm) {
  (void)comm;
  return "";
}

int ncclGetUniqueId(UniqueId *id) {
  memset(id, 0, sizeof *id);
  return SUCCESS;
}

int ncclCommInitRankConfig(Comm **comm, int size, UniqueId id, int rank, void *config) {
  (void)id, (void)config;
  if (size != 1 || rank != 0) return INVALID_ARGUMENT;
  find_cuda();
  Comm *made = calloc(1, sizeof *made);
  for (int i = 0; made && i < PLACES; i++) {
    Place *place = &made->places[i];
    if (host_alloc ? host_alloc((void **)&place->bytes, PLACE_BYTES, 0) : !(place->bytes = malloc(PLACE_BYTES)))
      return INTERNAL_ERROR;
  }
  *comm = made;
  return made ? SUCCESS : INTERNAL_ERROR;
}

int ncclAllReduce(const void *send, void *receive, size_t count, int type, int op, Comm *comm, void *stream) {
  if (op != SUM || (type != FLOAT32 && type != FLOAT64)) return INVALID_ARGUMENT;
  size_t bytes = count * (type == FLOAT32 ? 4 : 8);
  if (bytes > PLACE_BYTES) return INVALID_USAGE;
  Place *place = &comm->places[comm->next++ % PLACES];
  while (atomic_exchange(&place->busy, 1)) delay(NULL);
  place->count = count, place->type = type;
  if (!launch_host_func) {
    memcpy(place->bytes, send, bytes);
    twice(place);
    memcpy(receive, place->bytes, bytes);
    leave(place);
    return SUCCESS;
  }
  int failed = launch_host_func(stream, delay, NULL) || memcpy_async(place->bytes, send, bytes, TO_HOST, stream) ||
               launch_host_func(stream, twice, place) || memcpy_async(receive, place->bytes, bytes, TO_DEVICE, stream) ||
               launch_host_func(stream, leave, place);
  return failed ? INTERNAL_ERROR : SUCCESS;
}

// Functions that a single rank never needs. No function here calls another one of these names: if libtorch has loaded NCCL,
// that library's function would be called.
int ncclBroadcast(const void *a, void *b, size_t n, int type, int root, Comm *comm, void *stream) {
  (void)a, (void)b, (void)n, (void)type, (void)root, (void)comm, (void)stream;
  return INVALID_USAGE;
}
int ncclReduceScatter(const void *a, void *b, size_t n, int type, int op, Comm *comm, void *stream) {
  (void)a, (void)b, (void)n, (void)type, (void)op, (void)comm, (void)stream;
  return INVALID_USAGE;
}
int ncclAllGather(const void *a, void *b, size_t n, int type, Comm *comm, void *stream) {
  (void)a, (void)b, (void)n, (void)type, (void)comm, (void)stream;
  return INVALID_USAGE;
}
int ncclCommSplit(Comm *comm, int color, int key, Comm **part, void *config) {
  (void)comm, (void)color, (void)key, (void)part, (void)config;
  return INVALID_USAGE;
}

int ncclCommGetAsyncError(Comm *comm, int *error) {
  (void)comm;
  *error = SUCCESS;
  return SUCCESS;
}
int ncclCommCount(Comm *comm, int *count) {
  (void)comm;
  *count = 1;
  return SUCCESS;
}
int ncclCommUserRank(Comm *comm, int *rank) {
  (void)comm;
  *rank = 0;
  return SUCCESS;
}
// The process is about to end, so the staging buffers are not freed.
int ncclCommFinalize(Comm *comm) {
  (void)comm;
  return SUCCESS;
}
int ncclCommDestroy(Comm *comm) {
  (void)comm;
  return SUCCESS;
}
int ncclCommAbort(Comm *comm) {
  (void)comm;
  return SUCCESS;
}
int ncclGroupStart(void) { return SUCCESS; }
int ncclGroupEnd(void) { return SUCCESS; }
