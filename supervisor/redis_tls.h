/* SPDX-License-Identifier: Apache-2.0 */
/* TLS on a connection of hiredis', whose version in Debian 12 knows none: OpenSSL below, and hiredis' own parser above. Only who asks
 * for it loads OpenSSL: it would cost each start of a command more than the rest of that. Not for several threads at once. */
#ifndef PERDURE_SUPERVISOR_REDIS_TLS_H
#define PERDURE_SUPERVISOR_REDIS_TLS_H

#include "supervisor/redis_address.h"

#include <hiredis/hiredis.h>

struct redis_tls;

/* Begins TLS on a connected socket, which stays the caller's, and checks that its other end is the host, or whom the address
 * names. -EACCES: its certificate is not trusted, or another's; -EINVAL: a file of the address cannot be used; -EPROTONOSUPPORT: it
 * does not speak TLS, or there is no OpenSSL here; -ENOTCONN: it does not answer. */
int redis_tls_begin(const struct redis_address *address, const struct redis_host *host, int fd, struct redis_tls **ret_tls,
                    struct failure *failure);
/* NULL is fine. */
void redis_tls_end(struct redis_tls *tls);

/* redisGetReply() by TLS: sends what has been appended, and waits for a reply for as long as the socket's timeout. After an error the
 * connection is of no use. -ENOTCONN: it is lost; -EACCES: the server wants a certificate, or another one. */
int redis_tls_reply(struct redis_tls *tls, redisContext *context, void **ret_reply, struct failure *failure);

#endif
