/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the functions behind the hooks, by the symbol tables of what is loaded. dlsym(RTLD_NEXT) would
 * not find a libcurl that a plugin has brought; and its flavours have different file names. */
#include "shim/curl.h"
#include "shim/symbols.h"

#include <dlfcn.h>

static struct curl_real real;
static _Atomic uint32_t known;

const struct curl_real *curl_real(void)
{
  const struct symbol_wanted of_curl[] = {
      {"curl_easy_init", (void **)&real.easy_init},
      {"curl_easy_duphandle", (void **)&real.easy_duphandle},
      {"curl_easy_reset", (void **)&real.easy_reset},
      {"curl_easy_cleanup", (void **)&real.easy_cleanup},
      {"curl_easy_setopt", (void **)&real.easy_setopt},
      {"curl_easy_getinfo", (void **)&real.easy_getinfo},
      {"curl_easy_perform", (void **)&real.easy_perform},
      {"curl_easy_pause", (void **)&real.easy_pause},
      {"curl_share_cleanup", (void **)&real.share_cleanup},
      {"curl_mime_init", (void **)&real.mime_init},
      {"curl_mime_data_cb", (void **)&real.mime_data_cb},
      {"curl_multi_init", (void **)&real.multi_init},
      {"curl_multi_add_handle", (void **)&real.multi_add_handle},
      {"curl_multi_remove_handle", (void **)&real.multi_remove_handle},
      {"curl_multi_setopt", (void **)&real.multi_setopt},
      {"curl_multi_perform", (void **)&real.multi_perform},
      {"curl_multi_socket_action", (void **)&real.multi_socket_action},
      {"curl_multi_socket_all", (void **)&real.multi_socket_all},
      {"curl_multi_poll", (void **)&real.multi_poll},
      {"curl_multi_wait", (void **)&real.multi_wait},
      {"curl_multi_fdset", (void **)&real.multi_fdset},
      {"curl_multi_timeout", (void **)&real.multi_timeout},
      {"curl_multi_assign", (void **)&real.multi_assign},
      {"curl_multi_wakeup", (void **)&real.multi_wakeup},
      {"curl_multi_cleanup", (void **)&real.multi_cleanup},
      {"curl_multi_info_read", (void **)&real.multi_info_read},
      {"curl_slist_free_all", (void **)&real.slist_free_all},
      {"curl_easy_option_by_id", (void **)&real.easy_option_by_id},
  };
  const struct symbol_wanted of_libc[] = {
      {"fwrite", (void **)&real.fwrite},
      {"fread", (void **)&real.fread},
      {"fseeko", (void **)&real.fseeko},
      {"_IO_2_1_stdout_", &real.out},
      {"_IO_2_1_stdin_", &real.in},
  };
  if (atomic_load_explicit(&known, memory_order_acquire))
    return &real;
  /* Two threads that come here together store the same. */
  if (!symbols_of("libcurl", of_curl, sizeof of_curl / sizeof *of_curl) || !real.easy_perform ||
      !symbols_of("libc.so.6", of_libc, sizeof of_libc / sizeof *of_libc) || !real.fwrite)
    return NULL;
  atomic_store_explicit(&known, 1, memory_order_release);
  return &real;
}

typedef void *open_function(const char *path, int flags);

static __attribute__((noinline)) open_function *libc_dlopen(void)
{
  static void *_Atomic place;
  void *function = atomic_load_explicit(&place, memory_order_relaxed);
  const struct symbol_wanted of_libc[] = {{"dlopen", &function}};
  if (!function)
    symbols_of("libc.so.6", of_libc, 1);
  atomic_store_explicit(&place, function, memory_order_relaxed);
  return (open_function *)function;
}

/* A plugin that is opened with RTLD_DEEPBIND (PHP's are) would find libcurl's functions before the hooks. This
 * ends in a jump, so that the real function sees its caller, whose search path counts. */
__attribute__((visibility("default"))) void *dlopen(const char *path, int flags)
{
  return libc_dlopen()(path, flags & ~RTLD_DEEPBIND);
}
