/* SPDX-License-Identifier: Apache-2.0 */
/* Idempotency-Key: a UUID of the run and the request's place in it: image, thread, number. */
#include "shim/curl.h"
#include "shim/uuid.h"

static bool has_key(const struct curl_list *headers)
{
  static const char name[] = "idempotency-key";
  for (; headers; headers = headers->next) {
    unsigned i = 0;
    while (name[i] && ((uint8_t)headers->data[i] | 0x20) == (uint8_t)(name[i] | 0x20))
      i++;
    if (!name[i] && (headers->data[i] == ':' || headers->data[i] == ';'))
      return true;
  }
  return false;
}

bool key_make(struct curl_handle *handle, uint64_t number)
{
  static const char prefix[] = "Idempotency-Key: ";
  const struct tail_header *header = engine.tail.header;
  struct curl_list *headers = (struct curl_list *)handle->kept[KEPT_HTTPHEADER];
  const char *method = handle_method(handle);
  if (header->keyless || has_key(headers) || (!raw_same_text(method, "POST") && !raw_same_text(method, "PATCH")))
    return false;
  uint64_t place[3] = {engine.image_position, engine_thread.stream, number};
  raw_copy(handle->key, prefix, sizeof prefix);
  uuid_of_name(header->run_identity, place, sizeof place, handle->key + sizeof prefix - 1);
  handle->key_item = (struct curl_list){.data = handle->key, .next = headers};
  return true;
}
