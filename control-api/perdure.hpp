/* SPDX-License-Identifier: Apache-2.0 */
/* perdure.h's scopes as C++17 objects: each begins when it is made, and ends when it goes. */
#ifndef PERDURE_HPP
#define PERDURE_HPP

#include "perdure.h"

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
