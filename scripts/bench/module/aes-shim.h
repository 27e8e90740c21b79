/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Force-included before the kernel's x86 AES code when it is built for User
 * Mode Linux: what that code asks of the processor, answered from what UML knows
 * (boot_cpu_data, which UML reads from the host). A feature the host reports is
 * one whose registers the host saves, so the question after them is always yes.
 */
#ifndef ITLS_AES_SHIM_H
#define ITLS_AES_SHIM_H

/* Not <asm/cpu_device_id.h>, which needs what UML does not have. */
#define _ASM_X86_CPU_DEVICE_ID
#define _CPU_DEVICE_ID

#define CONFIG_AS_VAES		1
#define CONFIG_AS_VPCLMULQDQ	1

#ifndef __ASSEMBLY__
#include <linux/mod_devicetable.h>
#include <linux/types.h>

#include <asm/cpufeature.h>
#include <asm/fpu/api.h>

#define X86_MATCH_FEATURE(bit, data)	{ .feature = (bit) }
/* UML does not know models: none of those listed is slowed down by wide registers. */
#define X86_MATCH_VFM(vfm, data)	{ }

#define XFEATURE_MASK_SSE	0
#define XFEATURE_MASK_YMM	0
#define XFEATURE_MASK_AVX512	0

#ifndef X86_FEATURE_PREFER_YMM
#define X86_FEATURE_PREFER_YMM	(NCAPINTS * 32 - 1)
#endif

static inline bool cpu_has_xfeatures(u64 needed, const char **name)
{
	return true;
}

static inline const struct x86_cpu_id *x86_match_cpu(const struct x86_cpu_id *id)
{
	for (; id->feature; id++)
		if (boot_cpu_has(id->feature))
			return id;
	return NULL;
}
#endif

#endif
