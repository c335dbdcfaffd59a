// SPDX-License-Identifier: Apache-2.0
// A model file's configuration: nested maps, lists and scalars, read as data only.
#ifndef ONP_IO_CONFIG_H
#define ONP_IO_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

struct onp_config; // may be NULL everywhere below: an empty configuration

// Looks a dotted path up ("model.encoder.embed_dim"). False if it is absent or of another type.
bool onp_config_string(const struct onp_config *config, const char *path, const char **out);
bool onp_config_int(const struct onp_config *config, const char *path, int64_t *out);
bool onp_config_double(const struct onp_config *config, const char *path, double *out);
bool onp_config_bool(const struct onp_config *config, const char *path, bool *out);
// The whole configuration as JSON with sorted keys; malloc'ed, NULL when memory is exhausted.
char *onp_config_json(const struct onp_config *config);

#endif
