/* SPDX-License-Identifier: Apache-2.0 */
/* Retry policies that the program has put together (perdure_retry_plan_... of the control API). Scopes refer to them by their ids. */
#ifndef PERDURE_SHIM_RETRY_PLANS_H
#define PERDURE_SHIM_RETRY_PLANS_H

#include "journal/retry_rules.h"

/* NULL: none of that id is known in this image. */
const struct retry_plan *retry_plan_find(uint64_t id);

#endif
