/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>

#include "agent/certificate.h"

#define NAME_MAX_BYTES 64 /* of a common name (RFC 5280, ub-common-name) */

static void key_freep(EVP_PKEY **key) {
        EVP_PKEY_free(*key);
}

static void x509_freep(X509 **x) {
        X509_free(*x);
}

static void bio_freep(BIO **b) {
        BIO_free(*b);
}

static bool fill(X509 *x, EVP_PKEY *key, const char *name) {
        X509_NAME *subject = X509_get_subject_name(x);
        int size = (int)MIN(strlen(name), (size_t)NAME_MAX_BYTES);
        uint64_t serial;

        return RAND_bytes((unsigned char *)&serial, sizeof(serial)) == 1 && X509_set_version(x, 2) == 1 &&
               ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), serial >> 1) == 1 &&
               ASN1_TIME_set_string(X509_getm_notBefore(x), "20200101000000Z") == 1 &&
               ASN1_TIME_set_string(X509_getm_notAfter(x), "99991231235959Z") == 1 && X509_set_pubkey(x, key) == 1 &&
               X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)name, size, -1, 0) == 1 &&
               X509_set_issuer_name(x, subject) == 1 && X509_sign(x, key, EVP_sha256()) > 0;
}

static int text_of(BIO *b, char **ret) {
        char *data;
        long size = BIO_get_mem_data(b, &data);

        *ret = size > 0 ? strndup(data, (size_t)size) : NULL;
        return *ret ? 0 : -ENOMEM;
}

int certificate_make(const char *name, char **ret_certificate, char **ret_key) {
        _cleanup_(key_freep) EVP_PKEY *key = EVP_EC_gen("P-256");
        _cleanup_(x509_freep) X509 *x = X509_new();
        _cleanup_(bio_freep) BIO *certificate = BIO_new(BIO_s_mem()), *secret = BIO_new(BIO_s_secmem());
        _cleanup_(freep) char *text = NULL;
        int r;

        if (!x || !certificate || !secret)
                return -ENOMEM;
        if (!key || !fill(x, key, name) || PEM_write_bio_X509(certificate, x) != 1 ||
            PEM_write_bio_PrivateKey(secret, key, NULL, NULL, 0, NULL, NULL) != 1)
                return -EIO;
        r = text_of(certificate, &text);
        if (r == 0)
                r = text_of(secret, ret_key);
        if (r == 0)
                *ret_certificate = TAKE_PTR(text);
        return r;
}
