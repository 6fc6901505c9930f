/* SPDX-License-Identifier: Apache-2.0 */
/* What the target, its mutator and its corpus agree on. */
#ifndef PERDURE_TESTS_FUZZ_FUZZ_JOURNAL_H
#define PERDURE_TESTS_FUZZ_FUZZ_JOURNAL_H

/* Bytes of the input that decide what the world answers; entries follow. */
#define WORLD_SIZE 64u

#endif
