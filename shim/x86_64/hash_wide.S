/* SPDX-License-Identifier: Apache-2.0 */
/* uint64_t hash_wide(const void *bytes, size_t size): hash_wide_body() with the program's vector
 * registers kept. A system call keeps them, and libc's compiler counts on it; saving all sixteen costs
 * less than hashing 512 bytes without them.
 *
 * uint64_t hash_wide_avx2(const void *bytes, size_t size): the same, twice as fast, by
 * hash_wide_body_avx2(), for processors with AVX2 and XGETBV with ECX 1 (Intel SDM, volume 1, 13.2).
 * That says which registers' upper halves are in use. Mostly none are, since whoever uses them ends with
 * vzeroupper: then they are zero, and zero again after the vzeroupper here, and the processor does not
 * slow down the program's SSE code. Else the narrow one is taken, which leaves upper halves alone. */
#define UPPER_IN_USE (1 << 2 | 1 << 6) /* of ymm0-15, of zmm0-15 */

	.macro hash_by body, after
	subq	$264, %rsp
	.cfi_adjust_cfa_offset 264
	.irp	n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
	movups	%xmm\n, (\n * 16)(%rsp)
	.endr
	call	\body
	\after
	.irp	n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
	movups	(\n * 16)(%rsp), %xmm\n
	.endr
	addq	$264, %rsp
	.cfi_adjust_cfa_offset -264
	ret
	.endm

	.text
	.globl	hash_wide
	.hidden	hash_wide
	.type	hash_wide, @function
hash_wide:
	.cfi_startproc
	hash_by	hash_wide_body
	.cfi_endproc
	.size	hash_wide, . - hash_wide

	.globl	hash_wide_avx2
	.hidden	hash_wide_avx2
	.type	hash_wide_avx2, @function
hash_wide_avx2:
	.cfi_startproc
	movl	$1, %ecx
	xgetbv
	testl	$UPPER_IN_USE, %eax
	jnz	hash_wide
	hash_by	hash_wide_body_avx2, vzeroupper
	.cfi_endproc
	.size	hash_wide_avx2, . - hash_wide_avx2
	.section	.note.GNU-stack, "", @progbits
