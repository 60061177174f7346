// Task<T>: a lazy coroutine with one owner. It starts when it is awaited (or spawned into a Scope) and resumes its awaiter when done.
//
// The Task owns the frame: destroying an unfinished Task destroys the coroutine where it is suspended, and every wait in this code base
// unregisters itself in its destructor, so that is safe. Not thread-safe: a task lives and dies on one loop.
// A coroutine is never a capturing lambda (the captures die with the lambda object, not with the frame).
#pragma once

#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

namespace skerry {

template <typename T = void>
class Task;

namespace detail {

struct PromiseBase {
  std::coroutine_handle<> continuation = std::noop_coroutine();

  std::suspend_always initial_suspend() noexcept { return {}; }
  struct FinalAwaiter {
    bool await_ready() noexcept { return false; }
    template <typename P>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<P> h) noexcept {
      return h.promise().continuation;
    }
    void await_resume() noexcept {}
  };
  FinalAwaiter final_suspend() noexcept { return {}; }
  // Errors are values (Result); an exception that gets here is a bug or out of memory.
  void unhandled_exception() noexcept { std::terminate(); }
};

template <typename T>
struct Promise : PromiseBase {
  std::optional<T> value;
  Task<T> get_return_object();
  template <typename U>
  void return_value(U&& v) {
    value.emplace(std::forward<U>(v));
  }
};

template <>
struct Promise<void> : PromiseBase {
  Task<void> get_return_object();
  void return_void() {}
};

}  // namespace detail

template <typename T>
class [[nodiscard]] Task {
 public:
  using promise_type = detail::Promise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  Task() = default;
  explicit Task(Handle handle) : handle_(handle) {}
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      if (handle_) handle_.destroy();
      handle_ = std::exchange(other.handle_, {});
    }
    return *this;
  }
  ~Task() {
    if (handle_) handle_.destroy();
  }

  auto operator co_await() && noexcept {
    struct Awaiter {
      Handle handle;
      bool await_ready() const noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiting) noexcept {
        handle.promise().continuation = awaiting;
        return handle;
      }
      T await_resume() {
        if constexpr (!std::is_void_v<T>) return std::move(*handle.promise().value);
      }
    };
    return Awaiter{handle_};
  }

 private:
  Handle handle_;
};

namespace detail {
template <typename T>
Task<T> Promise<T>::get_return_object() {
  return Task<T>(std::coroutine_handle<Promise<T>>::from_promise(*this));
}
inline Task<void> Promise<void>::get_return_object() {
  return Task<void>(std::coroutine_handle<Promise<void>>::from_promise(*this));
}
}  // namespace detail

// TRY and TRY_ASSIGN for coroutines that return Task<Result<...>>.
#define CO_TRY(expr, ...)                                                                       \
  do {                                                                                          \
    if (auto skerry_r_ = (expr); !skerry_r_)                                                    \
      co_return ::skerry::pass(std::move(skerry_r_).error() __VA_OPT__(, ) __VA_ARGS__);        \
  } while (false)
#define CO_TRY_ASSIGN_(tmp, decl, expr, ...)                                                    \
  auto tmp = (expr);                                                                            \
  if (!tmp) co_return ::skerry::pass(std::move(tmp).error() __VA_OPT__(, ) __VA_ARGS__);        \
  decl = std::move(*tmp)
#define CO_TRY_ASSIGN(decl, expr, ...) CO_TRY_ASSIGN_(SKERRY_CONCAT(skerry_r_, __LINE__), decl, expr __VA_OPT__(, ) __VA_ARGS__)

}  // namespace skerry
