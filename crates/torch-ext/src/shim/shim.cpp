// Functions of libtorch that tch lacks, as a C interface. Every function returns null on success and otherwise an
// error message (see guarded.h). Tensors are borrowed `at::Tensor *`.

#include <ATen/ATen.h>
#include <ATen/DeviceAccelerator.h>
#include <ATen/autocast_mode.h>
#include <c10/core/Event.h>
#include <c10/core/Stream.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/version.h>

#include <memory>
#include <vector>

#include "guarded.h"

namespace {

// A Rust closure as a post-accumulate hook. `call` never unwinds: the Rust side aborts on a panic.
struct ClosureHook : torch::autograd::PostAccumulateGradHook {
  ClosureHook(void *closure, void (*call)(void *), void (*release)(void *))
      : closure(closure), call(call), release(release) {}
  ~ClosureHook() override { release(closure); }
  void operator()(const torch::autograd::Variable &) override { call(closure); }

  void *closure;
  void (*call)(void *);
  void (*release)(void *);
};

std::vector<at::Tensor> list(at::Tensor *const *tensors, size_t count) {
  std::vector<at::Tensor> result;
  result.reserve(count);
  for (size_t i = 0; i < count; ++i) result.push_back(*tensors[i]);
  return result;
}

// Converts tch's device number: -1 is the CPU, others are CUDA devices.
c10::Device device_of(int index) {
  if (index < 0) return c10::Device(c10::kCPU);
  return c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(index));
}

c10::Stream stream_of(int device, int64_t id) { return c10::Stream(c10::Stream::UNSAFE, device_of(device), id); }

}  // namespace

extern "C" {

const char *regatta_set_grad(at::Tensor *parameter, at::Tensor *grad) {
  return guarded([&] { parameter->mutable_grad() = *grad; });
}

const char *regatta_on_grad_accumulated(at::Tensor *parameter, void *closure, void (*call)(void *),
                                        void (*release)(void *)) {
  auto hook = std::make_unique<ClosureHook>(closure, call, release);
  return guarded([&] { torch::autograd::impl::set_post_acc_grad_hooks(*parameter, std::move(hook)); });
}

// Enters autocast on a device type (0: CPU, 1: CUDA) with an element type in PyTorch's numbering.
const char *regatta_autocast_enter(int device_type, int scalar_type) {
  return guarded([&] {
    auto device = static_cast<at::DeviceType>(device_type);
    at::autocast::set_autocast_dtype(device, static_cast<at::ScalarType>(scalar_type));
    at::autocast::set_autocast_enabled(device, true);
    at::autocast::increment_nesting();
  });
}

// Leaves autocast. The outermost level also clears the cache of cast weights, since the next step has other weights.
const char *regatta_autocast_exit(int device_type) {
  return guarded([&] {
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(static_cast<at::DeviceType>(device_type), false);
  });
}

const char *regatta_set_deterministic(bool on) {
  return guarded([&] {
    at::globalContext().setDeterministicAlgorithms(on, /*warn_only=*/false);
    at::globalContext().setDeterministicFillUninitializedMemory(false);
  });
}

const char *regatta_benchmark_cudnn(bool on) {
  return guarded([&] { at::globalContext().setBenchmarkCuDNN(on); });
}

const char *regatta_fused_sgd(at::Tensor *const *params, at::Tensor *const *grads, at::Tensor *const *momenta,
                              at::Tensor *found_inf, size_t count, double weight_decay, double momentum,
                              at::Tensor *lr, bool nesterov) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    std::vector<at::Tensor> buffers = momentum == 0.0 ? std::vector<at::Tensor>{} : list(momenta, count);
    at::_fused_sgd_(list(params, count), list(grads, count), buffers, weight_decay, momentum, *lr,
                    /*dampening=*/0.0, nesterov, /*maximize=*/false, /*is_first_step=*/false,
                    /*grad_scale=*/{}, *found_inf);
  });
}

const char *regatta_fused_adamw(at::Tensor *const *params, at::Tensor *const *grads, at::Tensor *const *first,
                                at::Tensor *const *second, at::Tensor *step, at::Tensor *found_inf, size_t count,
                                at::Tensor *lr, double beta1, double beta2, double weight_decay, double eps) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    std::vector<at::Tensor> steps(count, *step);
    at::_fused_adamw_(list(params, count), list(grads, count), list(first, count), list(second, count), {},
                      steps, *lr, beta1, beta2, weight_decay, eps, /*amsgrad=*/false, /*maximize=*/false,
                      /*grad_scale=*/{}, *found_inf);
  });
}

// Streams are identified by device and ID, as in libtorch.
const char *regatta_stream_from_pool(int device, bool high_priority, int64_t *id) {
  return guarded([&] {
    c10::impl::VirtualGuardImpl guard(device_of(device).type());
    *id = guard.getStreamFromGlobalPool(device_of(device), high_priority).id();
  });
}

const char *regatta_stream_current(int device, int64_t *id) {
  return guarded([&] {
    c10::impl::VirtualGuardImpl guard(device_of(device).type());
    *id = guard.getStream(device_of(device)).id();
  });
}

// Makes a stream the current stream of this thread.
const char *regatta_stream_make_current(int device, int64_t id) {
  return guarded([&] {
    c10::impl::VirtualGuardImpl guard(device_of(device).type());
    guard.exchangeStream(stream_of(device, id));
  });
}

const char *regatta_stream_native_handle(int device, int64_t id, void **handle) {
  return guarded([&] { *handle = stream_of(device, id).native_handle(); });
}

const char *regatta_stream_synchronize(int device, int64_t id) {
  return guarded([&] { stream_of(device, id).synchronize(); });
}

// Makes a device the current device of this thread, for libraries that query it.
const char *regatta_set_device(int device) {
  return guarded([&] {
    c10::impl::VirtualGuardImpl guard(device_of(device).type());
    guard.setDevice(device_of(device));
  });
}

const char *regatta_event_new(int device, bool timed, c10::Event **event) {
  return guarded([&] {
    auto flag = timed ? c10::EventFlag::BACKEND_DEFAULT : c10::EventFlag::PYTORCH_DEFAULT;
    *event = new c10::Event(device_of(device).type(), flag);
  });
}

void regatta_event_free(c10::Event *event) { delete event; }

const char *regatta_event_record(c10::Event *event, int device, int64_t stream) {
  return guarded([&] { event->record(stream_of(device, stream)); });
}

const char *regatta_event_block(const c10::Event *event, int device, int64_t stream) {
  return guarded([&] { event->block(stream_of(device, stream)); });
}

const char *regatta_event_query(const c10::Event *event, bool *done) {
  return guarded([&] { *done = event->query(); });
}

const char *regatta_event_elapsed_ms(const c10::Event *from, const c10::Event *to, double *ms) {
  return guarded([&] { *ms = from->elapsedTime(*to); });
}

const char *regatta_event_synchronize(const c10::Event *event) {
  return guarded([&] { event->synchronize(); });
}

// Copies a tensor to page-locked memory; the caller owns the copy. (tch's pin_memory passes a device, which is deprecated and
// prints a warning at every call.)
const char *regatta_pin_memory(at::Tensor *source, at::Tensor **pinned) {
  return guarded([&] { *pinned = new at::Tensor(source->pin_memory()); });
}

// Copies on a stream without waiting. The source must not change until the stream has passed the copy.
const char *regatta_copy_non_blocking(at::Tensor *target, at::Tensor *source, int device, int64_t stream) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    c10::StreamGuard on_stream(stream_of(device, stream));
    target->copy_(*source, /*non_blocking=*/true);
  });
}

// Returns the version of the libtorch that this was built with.
const char *regatta_torch_version() { return TORCH_VERSION; }

// Sets whether fp32 matrix products and convolutions on a GPU may round their inputs to TF32.
const char *regatta_allow_tf32(bool on) {
  return guarded([&] {
    at::globalContext().setAllowTF32CuBLAS(on);
    at::globalContext().setAllowTF32CuDNN(on);
  });
}

// Returns the peak number of bytes that tensors have occupied on a GPU.
const char *regatta_peak_device_bytes(int device, int64_t *bytes) {
  return guarded([&] {
    auto stats = at::accelerator::getDeviceStats(device_of(device).index());
    *bytes = stats.allocated_bytes[0].peak;
  });
}

}  // extern "C"
