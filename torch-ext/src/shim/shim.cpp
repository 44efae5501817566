// What tch lacks of libtorch, behind a C interface. Every function returns null on success and otherwise the
// error's text, which stays valid until the next call on the same thread. Tensors are borrowed `at::Tensor *`.

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <memory>
#include <string>
#include <vector>

namespace {

thread_local std::string last_error;

template <class F>
const char *guarded(F body) {
  try {
    body();
    return nullptr;
  } catch (const c10::Error &error) {
    last_error = error.what_without_backtrace();
  } catch (const std::exception &error) {
    last_error = error.what();
  } catch (...) {
    last_error = "unknown C++ exception";
  }
  return last_error.c_str();
}

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

// Leaves it. The cache of cast weights is dropped with the outermost level: a later step has other weights.
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
    at::globalContext().setBenchmarkCuDNN(!on);
  });
}

const char *regatta_fused_sgd(at::Tensor *const *params, at::Tensor *const *grads, at::Tensor *const *momenta,
                              size_t count, double weight_decay, double momentum, double lr, bool nesterov) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    std::vector<at::Tensor> buffers = momentum == 0.0 ? std::vector<at::Tensor>{} : list(momenta, count);
    at::_fused_sgd_(list(params, count), list(grads, count), buffers, weight_decay, momentum, lr,
                    /*dampening=*/0.0, nesterov, /*maximize=*/false, /*is_first_step=*/false);
  });
}

const char *regatta_fused_adamw(at::Tensor *const *params, at::Tensor *const *grads, at::Tensor *const *first,
                                at::Tensor *const *second, at::Tensor *step, size_t count, double lr,
                                double beta1, double beta2, double weight_decay, double eps) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    std::vector<at::Tensor> steps(count, *step);
    at::_fused_adamw_(list(params, count), list(grads, count), list(first, count), list(second, count), {},
                      steps, lr, beta1, beta2, weight_decay, eps, /*amsgrad=*/false, /*maximize=*/false);
  });
}

}  // extern "C"
