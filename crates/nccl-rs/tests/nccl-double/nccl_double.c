// A test double for NCCL: NCCL's C interface on machines without a GPU. The ranks are processes of one host, the buffers are
// host memory, and the collectives go through shared memory, in order, on one thread per communicator.
//
// Differences from NCCL: there are no streams (the argument is ignored), so ncclCommGetAsyncError returns ncclInProgress until
// every collective has been executed; further calls are allowed meanwhile.
//
// Faults, from the environment variable NCCL_DOUBLE, separated by commas:
//   init-delay-ms=N     initialization takes this long on every rank (default: 50)
//   init-hangs          initialization never completes
//   id-fails            ncclGetUniqueId fails
//   error-at=R:N        on rank R collective N (counted from 1) fails with an asynchronous error
//   hang-at=R:N         on rank R collective N is never executed
//   finalize-hangs      finalization never completes
// and at compile time:
//   -DVERSION=21700     reports another version
//   -DWITHOUT_SPLIT     omits ncclCommSplit
//   -DFAULTS="..."      default faults if the variable is not set

#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#ifndef FAULTS
#define FAULTS NULL
#endif
#ifndef VERSION
#define VERSION 22809
#endif

enum { SUCCESS = 0, SYSTEM_ERROR = 2, INVALID_ARGUMENT = 4, INVALID_USAGE = 5, REMOTE_ERROR = 6, IN_PROGRESS = 7 };
enum { FLOAT32 = 7, FLOAT64 = 8, INT64 = 4, UINT8 = 1, BFLOAT16 = 9 };
enum { SUM = 0, MAX = 2 };
enum { MAX_RANKS = 16, CHUNK = 1 << 20 };

typedef struct { char text[128]; } UniqueId;
typedef struct { size_t size; unsigned magic, version; int blocking; } Config;

// The shared memory of the ranks: a barrier, and a slot of CHUNK bytes for each rank.
typedef struct {
  atomic_int arrived, waiting;
  atomic_uint generation;
  char slots[];
} Shared;

typedef enum { ALL_REDUCE, BROADCAST, REDUCE_SCATTER, ALL_GATHER, SPLIT, FINALIZE } Kind;

typedef struct Comm Comm;
typedef struct Call {
  Kind kind;
  const char *send;
  char *receive;
  size_t count;
  int type, op, root, color, key;
  Comm *part;
  struct Call *next;
} Call;

struct Comm {
  UniqueId id;
  int rank, size, calls, splits;
  Shared *shared;
  pthread_t worker;
  int has_worker;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  Call *first, **last;
  int pending;
  atomic_int error, aborted;
};

// Marks this library as a test double.
const int ncclTestDoubleTakesHostMemory = 1;

static __thread char last_error[256];

static int option(const char *name, int *rank, int *number) {
  const char *all = getenv("NCCL_DOUBLE") ? getenv("NCCL_DOUBLE") : FAULTS;
  const char *at = all ? strstr(all, name) : NULL;
  if (!at) return 0;
  at += strlen(name);
  if (*at == '=') {
    if (rank && sscanf(at, "=%d:%d", rank, number) == 2) return 1;
    if (!rank && number) sscanf(at, "=%d", number);
  }
  return 1;
}

static void sleep_ms(int ms) {
  struct timespec time = {ms / 1000, (ms % 1000) * 1000000L};
  nanosleep(&time, NULL);
}

static int fail(int status, const char *text) {
  snprintf(last_error, sizeof last_error, "%s", text);
  return status;
}

// Returns when all ranks have arrived, or immediately if this communicator was aborted.
static int barrier(Comm *comm) {
  Shared *shared = comm->shared;
  unsigned generation = atomic_load(&shared->generation);
  if (atomic_fetch_add(&shared->waiting, 1) + 1 == comm->size) {
    atomic_store(&shared->waiting, 0);
    atomic_fetch_add(&shared->generation, 1);
    return 1;
  }
  while (atomic_load(&shared->generation) == generation) {
    if (atomic_load(&comm->aborted)) return 0;
    sched_yield();
  }
  return 1;
}

static size_t bytes_of(int type) {
  switch (type) {
    case UINT8: return 1;
    case BFLOAT16: return 2;
    case FLOAT32: return 4;
    default: return 8;
  }
}

static char *slot(Comm *comm, int rank) { return comm->shared->slots + (size_t)rank * CHUNK; }

static float from_bf16(uint16_t value) {
  uint32_t bits = (uint32_t)value << 16;
  float result;
  memcpy(&result, &bits, 4);
  return result;
}

static uint16_t to_bf16(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  return (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

#define REDUCE(T)                                                     \
  for (size_t i = 0; i < count; ++i) {                                \
    T value = ((T *)slot(comm, 0))[i];                                \
    for (int rank = 1; rank < comm->size; ++rank) {                   \
      T other = ((T *)slot(comm, rank))[i];                           \
      value = op == MAX ? (other > value ? other : value) : value + other; \
    }                                                                 \
    ((T *)receive)[i] = value;                                        \
  }

// Sums the slots of all ranks, in rank order.
static void reduce(Comm *comm, char *receive, size_t count, int type, int op) {
  switch (type) {
    case FLOAT32: REDUCE(float) break;
    case FLOAT64: REDUCE(double) break;
    case INT64: REDUCE(int64_t) break;
    case UINT8: REDUCE(uint8_t) break;
    case BFLOAT16:
      for (size_t i = 0; i < count; ++i) {
        float value = from_bf16(((uint16_t *)slot(comm, 0))[i]);
        for (int rank = 1; rank < comm->size; ++rank)
          value = from_bf16(to_bf16(value + from_bf16(((uint16_t *)slot(comm, rank))[i])));
        ((uint16_t *)receive)[i] = to_bf16(value);
      }
  }
}

// Exchanges `count` elements per rank, in chunks; `keeps` is set if this rank receives the result of a reduction.
static int exchange(Comm *comm, const Call *call, const char *send, char *receive, int keeps) {
  size_t size = bytes_of(call->type), step = CHUNK / size;
  for (size_t at = 0; at < call->count; at += step) {
    size_t count = call->count - at < step ? call->count - at : step;
    if (call->kind != BROADCAST || call->root == comm->rank)
      memcpy(slot(comm, comm->rank), send + at * size, count * size);
    if (!barrier(comm)) return 0;
    if (call->kind == BROADCAST) {
      memcpy(receive + at * size, slot(comm, call->root), count * size);
    } else if (call->kind == ALL_GATHER) {
      for (int rank = 0; rank < comm->size; ++rank)
        memcpy(receive + (rank * call->count + at) * size, slot(comm, rank), count * size);
    } else if (keeps) {
      reduce(comm, receive + at * size, count, call->type, call->op);
    }
    if (!barrier(comm)) return 0;
  }
  return 1;
}

static int start(Comm *comm);

static int split(Comm *comm, Call *call) {
  int mine[2] = {call->color, call->key}, all[MAX_RANKS][2];
  Call gather = {.kind = ALL_GATHER, .count = sizeof mine, .type = UINT8};
  if (!exchange(comm, &gather, (char *)mine, (char *)all, 1)) return 0;
  Comm *part = call->part;
  if (!part) return 1;
  for (int rank = 0; rank < comm->size; ++rank) {
    if (all[rank][0] != call->color) continue;
    part->size += 1;
    part->rank += all[rank][1] < call->key || (all[rank][1] == call->key && rank < comm->rank);
  }
  snprintf(part->id.text, sizeof part->id.text, "%.80s-%d-%d", comm->id.text, comm->splits, call->color);
  return start(part) == SUCCESS;
}

static int carry_out(Comm *comm, Call *call) {
  int rank, number;
  if (call->kind == FINALIZE) {
    while (option("finalize-hangs", NULL, NULL) && !atomic_load(&comm->aborted)) sleep_ms(1);
    return barrier(comm);
  }
  if (call->kind == SPLIT) return split(comm, call);
  comm->calls += 1;
  if (option("error-at", &rank, &number) && rank == comm->rank && number == comm->calls) {
    atomic_store(&comm->error, REMOTE_ERROR);
    return 0;
  }
  while (option("hang-at", &rank, &number) && rank == comm->rank && number == comm->calls) {
    if (atomic_load(&comm->aborted)) return 0;
    sleep_ms(1);
  }
  if (call->kind != REDUCE_SCATTER) return exchange(comm, call, call->send, call->receive, 1);
  for (int part = 0; part < comm->size; ++part) {
    const char *send = call->send + part * call->count * bytes_of(call->type);
    if (!exchange(comm, call, send, call->receive, part == comm->rank)) return 0;
  }
  return 1;
}

// Joins the other ranks in the shared memory that the ID names; the last rank removes the name.
static int meet(Comm *comm) {
  int delay = 50;
  option("init-delay-ms", NULL, &delay);
  sleep_ms(delay);
  while (option("init-hangs", NULL, NULL)) {
    if (atomic_load(&comm->aborted)) return 0;
    sleep_ms(1);
  }
  size_t bytes = sizeof(Shared) + (size_t)comm->size * CHUNK;
  int file = shm_open(comm->id.text, O_CREAT | O_RDWR, 0600);
  if (file < 0 || ftruncate(file, (off_t)bytes) != 0) {
    atomic_store(&comm->error, SYSTEM_ERROR);
    return 0;
  }
  comm->shared = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (atomic_fetch_add(&comm->shared->arrived, 1) + 1 == comm->size) shm_unlink(comm->id.text);
  while (atomic_load(&comm->shared->arrived) < comm->size) {
    if (atomic_load(&comm->aborted)) {
      shm_unlink(comm->id.text);
      return 0;
    }
    sched_yield();
  }
  return 1;
}

static void *work(void *argument) {
  Comm *comm = argument;
  int goes_on = meet(comm);
  pthread_mutex_lock(&comm->lock);
  comm->pending -= 1;
  while (goes_on && !atomic_load(&comm->aborted)) {
    if (!comm->first) {
      pthread_cond_wait(&comm->changed, &comm->lock);
      continue;
    }
    Call *call = comm->first;
    comm->first = call->next;
    if (!comm->first) comm->last = &comm->first;
    pthread_mutex_unlock(&comm->lock);
    goes_on = carry_out(comm, call);
    free(call);
    pthread_mutex_lock(&comm->lock);
    if (goes_on) comm->pending -= 1;
  }
  pthread_mutex_unlock(&comm->lock);
  return NULL;
}

static Comm *new_comm(void) {
  Comm *comm = calloc(1, sizeof *comm);
  pthread_mutex_init(&comm->lock, NULL);
  pthread_cond_init(&comm->changed, NULL);
  comm->last = &comm->first;
  comm->pending = 1;  // the init
  return comm;
}

static int start(Comm *comm) {
  comm->has_worker = 1;
  return pthread_create(&comm->worker, NULL, work, comm) ? fail(SYSTEM_ERROR, "no thread") : SUCCESS;
}

static int enqueue(Comm *comm, Call call) {
  Call *copy = malloc(sizeof *copy);
  *copy = call;
  copy->next = NULL;
  pthread_mutex_lock(&comm->lock);
  *comm->last = copy;
  comm->last = &copy->next;
  comm->pending += 1;
  pthread_cond_signal(&comm->changed);
  pthread_mutex_unlock(&comm->lock);
  return SUCCESS;
}

int ncclGetVersion(int *version) {
  *version = VERSION;
  return SUCCESS;
}

const char *ncclGetErrorString(int status) {
  switch (status) {
    case SUCCESS: return "no error";
    case SYSTEM_ERROR: return "unhandled system error";
    case INVALID_ARGUMENT: return "invalid argument";
    case INVALID_USAGE: return "invalid usage";
    case REMOTE_ERROR: return "remote process exited or there was a network error";
    case IN_PROGRESS: return "NCCL operation in progress";
    default: return "unknown result code";
  }
}

const char *ncclGetLastError(Comm *comm) {
  if (comm && atomic_load(&comm->error)) return "the double was configured to fail here";
  return last_error;
}

int ncclGetUniqueId(UniqueId *id) {
  static atomic_int number;
  if (option("id-fails", NULL, NULL)) return fail(SYSTEM_ERROR, "ids fail here");
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  memset(id, 0, sizeof *id);
  snprintf(id->text, sizeof id->text, "/nccl-double-%d-%d-%lx", getpid(), atomic_fetch_add(&number, 1), now.tv_nsec);
  return SUCCESS;
}

int ncclCommInitRankConfig(Comm **result, int size, UniqueId id, int rank, Config *config) {
  if (config->magic != 0xcafebeef || config->version < 21800 || config->blocking != 0)
    return fail(INVALID_ARGUMENT, "the double wants a non-blocking config of 2.18 or later");
  if (size < 1 || size > MAX_RANKS || rank < 0 || rank >= size) return fail(INVALID_ARGUMENT, "no such rank");
  Comm *comm = new_comm();
  comm->id = id;
  comm->rank = rank;
  comm->size = size;
  *result = comm;
  int status = start(comm);
  return status == SUCCESS ? IN_PROGRESS : status;
}

int ncclCommGetAsyncError(Comm *comm, int *status) {
  pthread_mutex_lock(&comm->lock);
  int error = atomic_load(&comm->error);
  *status = error ? error : comm->pending ? IN_PROGRESS : SUCCESS;
  pthread_mutex_unlock(&comm->lock);
  return SUCCESS;
}

int ncclCommCount(Comm *comm, int *count) {
  *count = comm->size;
  return SUCCESS;
}

int ncclCommUserRank(Comm *comm, int *rank) {
  *rank = comm->rank;
  return SUCCESS;
}

#ifndef WITHOUT_SPLIT
int ncclCommSplit(Comm *comm, int color, int key, Comm **result, Config *config) {
  (void)config;
  comm->splits += 1;
  *result = color >= 0 ? new_comm() : NULL;
  enqueue(comm, (Call){.kind = SPLIT, .color = color, .key = key, .part = *result});
  return IN_PROGRESS;
}
#endif

int ncclCommFinalize(Comm *comm) {
  enqueue(comm, (Call){.kind = FINALIZE});
  return IN_PROGRESS;
}

int ncclCommAbort(Comm *comm) {
  pthread_mutex_lock(&comm->lock);
  atomic_store(&comm->aborted, 1);
  pthread_cond_signal(&comm->changed);
  pthread_mutex_unlock(&comm->lock);
  if (comm->has_worker) pthread_join(comm->worker, NULL);
  if (comm->shared) munmap(comm->shared, sizeof(Shared) + (size_t)comm->size * CHUNK);
  free(comm);
  return SUCCESS;
}

int ncclCommDestroy(Comm *comm) { return ncclCommAbort(comm); }

int ncclAllReduce(const void *send, void *receive, size_t count, int type, int op, Comm *comm, void *stream) {
  (void)stream;
  return enqueue(comm, (Call){.kind = ALL_REDUCE, .send = send, .receive = receive, .count = count, .type = type, .op = op});
}

int ncclBroadcast(const void *send, void *receive, size_t count, int type, int root, Comm *comm, void *stream) {
  (void)stream;
  if (root < 0 || root >= comm->size) return fail(INVALID_ARGUMENT, "no such root");
  return enqueue(comm, (Call){.kind = BROADCAST, .send = send, .receive = receive, .count = count, .type = type, .root = root});
}

int ncclReduceScatter(const void *send, void *receive, size_t count, int type, int op, Comm *comm, void *stream) {
  (void)stream;
  return enqueue(comm, (Call){.kind = REDUCE_SCATTER, .send = send, .receive = receive, .count = count, .type = type, .op = op});
}

int ncclAllGather(const void *send, void *receive, size_t count, int type, Comm *comm, void *stream) {
  (void)stream;
  return enqueue(comm, (Call){.kind = ALL_GATHER, .send = send, .receive = receive, .count = count, .type = type});
}

int ncclGroupStart(void) { return SUCCESS; }

int ncclGroupEnd(void) { return SUCCESS; }
