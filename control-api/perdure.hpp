/* SPDX-License-Identifier: Apache-2.0 */
/* perdure.h's scopes as C++17 objects: each begins when it is made, and ends when it goes. */
#ifndef PERDURE_HPP
#define PERDURE_HPP

#include "perdure.h"

#include <chrono>
#include <string>
#include <system_error>

namespace perdure {

/* A negative enum perdure_error as an exception. */
inline void check(int result)
{
  if (result < 0)
    throw std::system_error(-result, std::generic_category(), "perdure");
}

/* Not for use itself. Moved from, it is closed. */
class scope {
public:
  scope(const scope &) = delete;
  scope &operator=(const scope &) = delete;
  scope(scope &&other) noexcept : token_(other.token_), end_(other.end_) { other.end_ = nullptr; }
  scope &operator=(scope &&) = delete;

  ~scope()
  {
    if (end_)
      end_(token_);
  }

  /* Now, with its error as an exception: the scope stays open then. */
  void end()
  {
    check(end_ ? end_(token_) : static_cast<int>(PERDURE_ERROR_TOKEN));
    end_ = nullptr;
  }

protected:
  using end_function = int (*)(perdure_token);
  explicit scope(end_function closing) : token_{}, end_(closing) {}

  void begun(int result)
  {
    if (result < 0)
      end_ = nullptr;
    check(result);
  }

  perdure_token token_;
  end_function end_; /* NULL: closed */
};

/* An atomic region. Leaving it by an exception ends it as well: what was done so far is final. */
class atomic_region : public scope {
public:
  atomic_region() : scope(perdure_atomic_end) { begun(perdure_atomic_begin(&token_)); }
  /* Returns only by an exception. */
  void abort() { check(perdure_atomic_abort(token_)); }
};

class idempotence : public scope {
public:
  explicit idempotence(bool idempotent) : scope(perdure_idempotence_end)
  {
    begun(perdure_idempotence_begin(idempotent, &token_));
  }
};

class persistence : public scope {
public:
  explicit persistence(perdure_persistence level) : scope(perdure_persistence_end)
  {
    begun(perdure_persistence_begin(level, &token_));
  }
};

class retry_policy : public scope {
public:
  explicit retry_policy(const perdure_retry_policy &policy) : scope(perdure_retry_policy_end)
  {
    begun(perdure_retry_policy_begin(&policy, &token_));
  }
};

/* What perdure_retry_plan_... make, as values: retry_plan::exponential(100ms, 2).count(5).and_then(retry_plan::periodic(1min)). Nonsense
 * throws, and changes nothing. */
class retry_plan {
public:
  using duration = std::chrono::nanoseconds;

  static retry_plan never() { return make([](auto *plan) { return perdure_retry_plan_never(plan); }); }
  static retry_plan immediate() { return make([](auto *plan) { return perdure_retry_plan_immediate(plan); }); }
  static retry_plan periodic(duration delay)
  {
    return make([delay](auto *plan) { return perdure_retry_plan_periodic(plan, ns(delay)); });
  }
  static retry_plan exponential(duration delay, double factor)
  {
    return make([delay, factor](auto *plan) { return perdure_retry_plan_exponential(plan, ns(delay), factor); });
  }
  static retry_plan fibonacci(duration delay)
  {
    return make([delay](auto *plan) { return perdure_retry_plan_fibonacci(plan, ns(delay)); });
  }

  retry_plan and_then(const retry_plan &next) const
  {
    return make([&](auto *plan) { return perdure_retry_plan_and_then(plan, &plan_, &next.plan_); });
  }
  retry_plan union_with(const retry_plan &other) const
  {
    return make([&](auto *plan) { return perdure_retry_plan_union(plan, &plan_, &other.plan_); });
  }
  retry_plan intersect(const retry_plan &other) const
  {
    return make([&](auto *plan) { return perdure_retry_plan_intersect(plan, &plan_, &other.plan_); });
  }

  retry_plan &count(uint32_t attempts) { return changed(perdure_retry_plan_count(&plan_, attempts)); }
  retry_plan &total(duration total) { return changed(perdure_retry_plan_total(&plan_, ns(total))); }
  retry_plan &clamp(duration min, duration max) { return changed(perdure_retry_plan_clamp(&plan_, ns(min), ns(max))); }
  retry_plan &add(duration delay) { return changed(perdure_retry_plan_add(&plan_, ns(delay))); }
  retry_plan &jitter(double factor) { return changed(perdure_retry_plan_jitter(&plan_, factor)); }
  retry_plan &statuses(unsigned listed) { return changed(perdure_retry_plan_statuses(&plan_, listed)); }
  retry_plan &name(const std::string &text) { return changed(perdure_retry_plan_name(&plan_, text.c_str())); }

  const perdure_retry_plan &get() const { return plan_; }

private:
  retry_plan() : plan_{} {}

  /* A negative time is none. */
  static uint64_t ns(duration time)
  {
    check(time.count() < 0 ? static_cast<int>(PERDURE_ERROR_ARGUMENT) : 0);
    return static_cast<uint64_t>(time.count());
  }

  template <typename Function> static retry_plan make(Function function)
  {
    retry_plan plan;
    check(function(&plan.plan_));
    return plan;
  }

  retry_plan &changed(int result)
  {
    check(result);
    return *this;
  }

  perdure_retry_plan plan_;
};

/* A scope in which a plan holds. */
class with_retry_plan : public scope {
public:
  explicit with_retry_plan(const retry_plan &plan) : scope(perdure_retry_plan_end)
  {
    begun(perdure_retry_plan_begin(&plan.get(), &token_));
  }
};

inline std::string idempotency_key()
{
  char key[37];
  check(perdure_idempotency_key(key));
  return key;
}

/* How many replicas there were. */
inline unsigned commit(unsigned replicas = 0, uint64_t timeout_ns = 0)
{
  unsigned count = 0;
  check(perdure_commit_counted(replicas, timeout_ns, &count));
  return count;
}

inline void note(const std::string &text)
{
  check(perdure_note(text.c_str()));
}

} // namespace perdure

#endif
