// SPDX-License-Identifier: GPL-2.0
/* See nl_inside.h. */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include <linux/genetlink.h>

#include "nl_inside.h"

void nl_blob_wipe(struct itls_nl_blob *blob)
{
	if (blob->data)
		explicit_bzero(blob->data, blob->len);
	free(blob->data);
	memset(blob, 0, sizeof(*blob));
}

static int nl_fill_blob(struct itls_nl_blob *blob, const void *src, size_t len)
{
	nl_blob_wipe(blob);
	blob->data = malloc(len + 1);
	if (!blob->data)
		return -ENOMEM;
	memcpy(blob->data, src, len);
	blob->data[len] = '\0';
	blob->len = len;
	return 0;
}

static int nl_fill(const struct nl_field *field, const struct nlattr *attr, uint8_t *dst)
{
	const void *src = mnl_attr_get_payload(attr);
	size_t len = mnl_attr_get_payload_len(attr);
	bool fits = len == field->size;

	switch (field->kind) {
	case NL_STRING:
		len = strnlen(src, len);
		if (len >= field->size)
			len = field->size - 1;
		fits = true;
		break;
	case NL_ADDRESS:
		fits = len == sizeof(struct sockaddr_in) || len == sizeof(struct sockaddr_in6);
		break;
	case NL_FLAG:
		*(bool *)dst = true;
		return 0;
	case NL_BLOB:
		return nl_fill_blob((struct itls_nl_blob *)dst, src, len);
	}
	if (fits)
		memcpy(dst, src, len);
	return 0;
}

/* Fails only without memory: a blob left out would mean something else. */
int nl_field_parse(const struct nlmsghdr *nlh, const struct nl_field *fields, void *dst)
{
	const struct nl_field *field;
	const struct nlattr *attr;
	int err = 0;

	mnl_attr_for_each(attr, nlh, sizeof(struct genlmsghdr))
		for (field = fields; !err && field->type; field++)
			if (field->type == mnl_attr_get_type(attr))
				err = nl_fill(field, attr, (uint8_t *)dst + field->offset);
	return err;
}
