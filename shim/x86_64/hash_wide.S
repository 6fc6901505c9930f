/* SPDX-License-Identifier: Apache-2.0 */
/* uint64_t hash_wide(const void *bytes, size_t size): hash_wide_body() with the program's vector
 * registers kept. A system call keeps them, and libc's compiler counts on it; saving all sixteen costs
 * less than hashing 512 bytes without them. */
	.text
	.globl	hash_wide
	.hidden	hash_wide
	.type	hash_wide, @function
hash_wide:
	.cfi_startproc
	subq	$264, %rsp
	.cfi_adjust_cfa_offset 264
	.irp	n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
	movups	%xmm\n, (\n * 16)(%rsp)
	.endr
	call	hash_wide_body
	.irp	n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
	movups	(\n * 16)(%rsp), %xmm\n
	.endr
	addq	$264, %rsp
	.cfi_adjust_cfa_offset -264
	ret
	.cfi_endproc
	.size	hash_wide, . - hash_wide
	.section	.note.GNU-stack, "", @progbits
