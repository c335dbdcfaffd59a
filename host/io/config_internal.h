// SPDX-License-Identifier: Apache-2.0
// How the readers of model files make a configuration.
#ifndef ONP_IO_CONFIG_INTERNAL_H
#define ONP_IO_CONFIG_INTERNAL_H

#include "io/config.h"
#include "io/pickle.h"

// Converts a pickled value to plain data. Objects with a dictionary as state (argparse.Namespace,
// omegaconf nodes) become maps, enumeration members their value, anything else null.
enum onp_status onp_config_from_pickle(const struct onp_source *source,
                                       const struct onp_pickle *pickle, uint32_t index,
                                       struct onp_config **out);
// Parses what onp_config_json wrote.
enum onp_status onp_config_from_json(const struct onp_source *source, const char *text, size_t size,
                                     struct onp_config **out);
void onp_config_free(struct onp_config *config); // NULL is allowed

#endif
