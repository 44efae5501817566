// CUDA graphs through libtorch's own class, which gives a graph's tensors their own memory pool.
//
// at::cuda::CUDAGraph is part of libtorch_cuda, which is loaded at run time and only on machines with a GPU, and its header
// requires the headers of the CUDA toolkit. Its members are therefore looked up by name; they are plain member functions, whose
// first argument is the object. The object is memory that its constructor initializes: less than 300 bytes in libtorch 2.11,
// the only version that tch binds.

#include <dlfcn.h>

#include <cstddef>
#include <memory>
#include <stdexcept>
#include <utility>

#include "guarded.h"

namespace {

using PoolId = std::pair<unsigned long long, unsigned long long>;

constexpr std::size_t OBJECT_BYTES = 4096;
// cudaStreamCaptureModeThreadLocal: CUDA calls of other threads do not affect the capture.
constexpr int CAPTURE_MODE = 1;

template <class F>
F member(const char *name) {
  void *address = dlsym(RTLD_DEFAULT, name);
  if (!address) throw std::runtime_error(std::string("libtorch_cuda has no ") + name);
  return reinterpret_cast<F>(address);
}

struct Graph {
  alignas(64) std::byte object[OBJECT_BYTES];

  Graph() { member<void (*)(void *, bool)>("_ZN2at4cuda9CUDAGraphC1Eb")(object, /*keep_graph=*/false); }
  ~Graph() { member<void (*)(void *)>("_ZN2at4cuda9CUDAGraphD1Ev")(object); }

  void capture_begin() {
    const char *name = "_ZN2at4cuda9CUDAGraph13capture_beginESt4pairIyyE21cudaStreamCaptureMode";
    member<void (*)(void *, PoolId, int)>(name)(object, PoolId{0, 0}, CAPTURE_MODE);
  }
  void capture_end() { member<void (*)(void *)>("_ZN2at4cuda9CUDAGraph11capture_endEv")(object); }
  void replay() { member<void (*)(void *)>("_ZN2at4cuda9CUDAGraph6replayEv")(object); }
};

}  // namespace

extern "C" {

// Starts recording the work that this thread queues on its current stream, which must not be the default stream.
const char *regatta_graph_begin(Graph **graph) {
  return guarded([&] {
    auto recording = std::make_unique<Graph>();
    recording->capture_begin();
    *graph = recording.release();
  });
}

const char *regatta_graph_end(Graph *graph) {
  return guarded([&] { graph->capture_end(); });
}

const char *regatta_graph_replay(Graph *graph) {
  return guarded([&] { graph->replay(); });
}

void regatta_graph_free(Graph *graph) { delete graph; }

}  // extern "C"
