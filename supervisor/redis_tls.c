/* SPDX-License-Identifier: Apache-2.0 */
/* A crash at any line is harmless: nothing is kept. */
#include "supervisor/redis_tls.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <hiredis/sds.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#define STRING(x) #x
#define STRING_OF(x) STRING(x)
#define LIBRARY "libssl.so." STRING_OF(OPENSSL_SHLIB_VERSION)
/* What one read takes at most: a record of TLS. */
#define READ_SIZE (16u << 10)

#define FUNCTIONS(F) \
  F(ERR_clear_error) F(ERR_peek_error) F(ERR_reason_error_string) F(SSL_CTX_check_private_key) F(SSL_CTX_ctrl) F(SSL_CTX_free) \
  F(SSL_CTX_load_verify_file) F(SSL_CTX_new) F(SSL_CTX_set_default_verify_paths) F(SSL_CTX_set_verify) \
  F(SSL_CTX_use_PrivateKey_file) F(SSL_CTX_use_certificate_chain_file) F(SSL_connect) F(SSL_ctrl) F(SSL_free) F(SSL_get0_param) \
  F(SSL_get_error) F(SSL_get_verify_result) F(SSL_new) F(SSL_read) F(SSL_set1_host) F(SSL_set_fd) F(SSL_write) F(TLS_client_method) \
  F(X509_VERIFY_PARAM_set1_ip_asc) F(X509_verify_cert_error_string)

#define FIELD(name) __typeof__(&name) name;
static struct { FUNCTIONS(FIELD) } openssl;
#undef FIELD

struct redis_tls {
  const struct redis_address *address;
  SSL_CTX *context;
  SSL *session;
};

/* Once a process; a thread that does it beside another one finds the same functions. */
static int load(struct failure *failure)
{
  void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
  if (!library)
    return failure_set(failure, -EPROTONOSUPPORT, "rediss:// needs OpenSSL, and %s cannot be loaded; install it (Debian: libssl3)", LIBRARY);
#define LOAD(name) \
  openssl.name = (__typeof__(&name))dlsym(library, #name); \
  if (!openssl.name) \
    return failure_set(failure, -EPROTONOSUPPORT, "rediss:// needs another OpenSSL: %s has no %s", LIBRARY, #name);
  FUNCTIONS(LOAD)
#undef LOAD
  return 0;
}

static const char *reason(void)
{
  const char *text = openssl.ERR_reason_error_string(openssl.ERR_peek_error());
  return text ? text : errno ? strerror(errno) : "it closed the connection";
}

static int not_usable(const char *path, const char *what, struct failure *failure)
{
  return failure_set(failure, -EINVAL, "cannot use the store's %s %s: %s; correct it in the store's address", what, path, reason());
}

static int make_context(struct redis_tls *tls, struct failure *failure)
{
  const struct redis_address *address = tls->address;
  tls->context = openssl.SSL_CTX_new(openssl.TLS_client_method());
  if (!tls->context)
    return failure_set(failure, -ENOMEM, "cannot begin TLS: out of memory");
  openssl.SSL_CTX_ctrl(tls->context, SSL_CTRL_SET_MIN_PROTO_VERSION, TLS1_2_VERSION, NULL);
  openssl.SSL_CTX_set_verify(tls->context, SSL_VERIFY_PEER, NULL);
  errno = 0;
  if (!address->ca[0])
    openssl.SSL_CTX_set_default_verify_paths(tls->context);
  else if (openssl.SSL_CTX_load_verify_file(tls->context, address->ca) != 1)
    return not_usable(address->ca, "authority", failure);
  if (!address->cert[0])
    return 0;
  const char *key = address->key[0] ? address->key : address->cert;
  if (openssl.SSL_CTX_use_certificate_chain_file(tls->context, address->cert) != 1)
    return not_usable(address->cert, "certificate of yours", failure);
  if (openssl.SSL_CTX_use_PrivateKey_file(tls->context, key, SSL_FILETYPE_PEM) != 1 ||
      openssl.SSL_CTX_check_private_key(tls->context) != 1)
    return not_usable(key, "key of yours", failure);
  return 0;
}

/* Whose certificate the other end has to have. */
static bool expect(SSL *session, const char *name)
{
  struct in6_addr ignored;
  if (inet_pton(AF_INET, name, &ignored) == 1 || inet_pton(AF_INET6, name, &ignored) == 1)
    return openssl.X509_VERIFY_PARAM_set1_ip_asc(openssl.SSL_get0_param(session), name) == 1;
  return openssl.SSL_ctrl(session, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, (void *)name) == 1 &&
         openssl.SSL_set1_host(session, name) == 1;
}

/* After the shake of hands has failed. */
static int refused(const struct redis_tls *tls, const char *name, int result, struct failure *failure)
{
  const char *where = redis_address_text(tls->address);
  long verified = openssl.SSL_get_verify_result(tls->session);
  int kind = openssl.SSL_get_error(tls->session, result);
  if (verified == X509_V_ERR_HOSTNAME_MISMATCH || verified == X509_V_ERR_IP_ADDRESS_MISMATCH)
    return failure_set(failure, -EACCES, "the certificate of the store %s is not trusted: it is not %s's; call the store as its certificate "
                       "does, or say name=NAME in its address", where, name);
  if (verified != X509_V_OK)
    return failure_set(failure, -EACCES, "the certificate of the store %s is not trusted: %s; say who has signed it by ca=FILE in its "
                       "address, or renew it", where, openssl.X509_verify_cert_error_string(verified));
  if (kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE)
    return failure_set(failure, -ENOTCONN, "the store %s does not begin TLS: no answer in time; look whether it lives, and whether that port "
                       "is its one for TLS", where);
  if (kind == SSL_ERROR_SSL && ERR_GET_REASON(openssl.ERR_peek_error()) != SSL_R_UNEXPECTED_EOF_WHILE_READING)
    return failure_set(failure, -EPROTONOSUPPORT, "the store %s does not begin TLS: %s; name its port for TLS, or say redis:// where it has "
                       "none", where, reason());
  return failure_set(failure, -ENOTCONN, "the store %s does not begin TLS: %s; look whether it lives, and whether that port is its one "
                     "for TLS", where, reason());
}

static int begin_session(struct redis_tls *tls, const char *name, int fd, struct failure *failure)
{
  tls->session = openssl.SSL_new(tls->context);
  if (!tls->session || !expect(tls->session, name) || openssl.SSL_set_fd(tls->session, fd) != 1)
    return failure_set(failure, -ENOMEM, "cannot begin TLS with %s: %s", redis_address_text(tls->address), reason());
  openssl.ERR_clear_error();
  errno = 0;
  int result = openssl.SSL_connect(tls->session);
  return result == 1 ? 0 : refused(tls, name, result, failure);
}

int redis_tls_begin(const struct redis_address *address, const struct redis_host *host, int fd, struct redis_tls **ret_tls,
                    struct failure *failure)
{
  int error = openssl.SSL_new ? 0 : load(failure);
  struct redis_tls *tls = error == 0 ? calloc(1, sizeof *tls) : NULL;
  if (error == 0 && !tls)
    error = failure_set(failure, -ENOMEM, "cannot begin TLS: out of memory");
  if (error != 0)
    return error;
  tls->address = address;
  openssl.ERR_clear_error();
  error = make_context(tls, failure);
  if (error == 0)
    error = begin_session(tls, address->name[0] ? address->name : host->name, fd, failure);
  if (error != 0)
    redis_tls_end(tls);
  else
    *ret_tls = tls;
  return error;
}

/* Nothing is said to the other end: a reply says itself where it ends. */
void redis_tls_end(struct redis_tls *tls)
{
  if (!tls)
    return;
  if (tls->session)
    openssl.SSL_free(tls->session);
  if (tls->context)
    openssl.SSL_CTX_free(tls->context);
  free(tls);
}

static int lost(const struct redis_tls *tls, int result, struct failure *failure)
{
  const char *where = redis_address_text(tls->address);
  int kind = openssl.SSL_get_error(tls->session, result), why = ERR_GET_REASON(openssl.ERR_peek_error());
  if (kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE)
    return failure_set(failure, -ENOTCONN, "the store %s does not answer: no answer in time; start it, or put the network right", where);
  /* With TLS 1.3 the client learns this behind its own part. */
  if (kind == SSL_ERROR_SSL && why >= SSL_AD_REASON_OFFSET)
    return failure_set(failure, -EACCES, "the store %s does not take %s: %s; say cert=FILE and key=FILE in its address", where,
                       tls->address->cert[0] ? "the certificate of yours" : "connections without a certificate", reason());
  return failure_set(failure, -ENOTCONN, "the store %s does not answer: %s; start it, or put the network right", where,
                     kind == SSL_ERROR_ZERO_RETURN || why == SSL_R_UNEXPECTED_EOF_WHILE_READING ? "it closed the connection" : reason());
}

static int send_all(struct redis_tls *tls, redisContext *context, struct failure *failure)
{
  size_t length = sdslen(context->obuf), sent = 0;
  while (sent < length) {
    size_t some = length - sent < (1u << 30) ? length - sent : 1u << 30;
    int result = openssl.SSL_write(tls->session, context->obuf + sent, (int)some);
    if (result <= 0)
      return result;
    sent += (size_t)result;
  }
  sdsfree(context->obuf);
  context->obuf = sdsempty();
  return context->obuf ? 1 : failure_set(failure, -ENOMEM, "cannot write to the store: out of memory");
}

int redis_tls_reply(struct redis_tls *tls, redisContext *context, void **ret_reply, struct failure *failure)
{
  char bytes[READ_SIZE];
  void *reply = NULL;
  openssl.ERR_clear_error();
  errno = 0;
  if (sdslen(context->obuf) > 0) {
    int sent = send_all(tls, context, failure);
    if (sent == -ENOMEM)
      return sent;
    /* Where it has said why it ends the connection, that can still be read. */
    if (sent <= 0) {
      openssl.ERR_clear_error();
      return lost(tls, openssl.SSL_read(tls->session, bytes, sizeof bytes), failure);
    }
  }
  for (;;) {
    if (redisGetReplyFromReader(context, &reply) != REDIS_OK)
      return failure_set(failure, -ENOTCONN, "the store %s does not answer: %s; start it, or put the network right",
                         redis_address_text(tls->address), context->errstr);
    if (reply) {
      *ret_reply = reply;
      return 0;
    }
    int got = openssl.SSL_read(tls->session, bytes, sizeof bytes);
    if (got <= 0)
      return lost(tls, got, failure);
    if (redisReaderFeed(context->reader, bytes, (size_t)got) != REDIS_OK)
      return failure_set(failure, -ENOMEM, "cannot read from the store: out of memory");
  }
}
