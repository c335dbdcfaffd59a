// SPDX-License-Identifier: Apache-2.0
// SHA-256 (FIPS 180-4).
#ifndef ONP_BASE_SHA256_H
#define ONP_BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

struct onp_sha256 {
    uint32_t state[8];
    uint64_t bytes;
    unsigned char block[64];
};
void onp_sha256_init(struct onp_sha256 *sha);
void onp_sha256_update(struct onp_sha256 *sha, const void *data, size_t size);
void onp_sha256_final(struct onp_sha256 *sha, unsigned char digest[32]);
void onp_sha256_hex(const unsigned char digest[32], char hex[65]);

#endif
