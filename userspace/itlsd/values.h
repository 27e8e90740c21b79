/* SPDX-License-Identifier: GPL-2.0 */
/* From the texts of a configuration to what they mean. */
#ifndef ITLSD_VALUES_H
#define ITLSD_VALUES_H

struct config;

/* Mistakes go to the messages of @cfg.  0 or -ENOMEM. */
int values_read(struct config *cfg);

#endif
