// SPDX-License-Identifier: Apache-2.0
// What the demo works out, and the two forms in which it is shown.
#ifndef ONP_CLI_DEMO_H
#define ONP_CLI_DEMO_H

#include <stdio.h>

#include "cli/demo_data.h"
#include "cli/session.h"

// The three similarity matrices: rows are items of the first kind, columns of the second.
enum onp_cli_pair { ONP_CLI_IMAGE_TEXT, ONP_CLI_AUDIO_TEXT, ONP_CLI_AUDIO_IMAGE, ONP_CLI_PAIRS };
extern const enum onp_modality onp_cli_pair_kinds[ONP_CLI_PAIRS][2];

// The six directions: twice the pair, plus 1 for from the second kind to the first.
enum { ONP_CLI_DIRECTIONS = 2 * ONP_CLI_PAIRS };
enum onp_modality onp_cli_direction_from(int direction);
enum onp_modality onp_cli_direction_to(int direction);

// For people: "picture", "sound", "word".
const char *onp_cli_kind_name(enum onp_modality kind);

// What the sound of one concept and the word of another find among the pictures.
enum { ONP_CLI_MIXED_TOP = 3 };
struct onp_cli_mixed {
    size_t sound, word;
    size_t found[ONP_CLI_MIXED_TOP]; // concepts, best first; as many as there are
    float score[ONP_CLI_MIXED_TOP];
};

struct onp_cli_seconds {
    double prepare, encode; // encode: an equal share of the run on the device
};

struct onp_cli_demo {
    struct onp_cli_settings settings;
    const char *dir, *html;
    struct onp_cli_demo_data data;
    struct onp_cli_session session;
    size_t count, dim;                                 // concepts; values of an embedding
    float *rows[ONP_MODALITY_COUNT];                   // [count, dim]
    struct onp_cli_seconds *times[ONP_MODALITY_COUNT]; // [count]
    float *scores[ONP_CLI_PAIRS];                      // [count, count]
    size_t *ranks; // [count, directions] of the right answer; equal scores count against it
    size_t right;  // concepts that are at rank 1 in all directions
    size_t *group; // concepts told apart from one another: at rank 1 among these in all directions
    size_t group_count;
    size_t *shown; // what the matrices show: of the group, if that is large enough
    size_t shown_count;
    bool shown_are_group;
    struct onp_cli_mixed *mixed;
    size_t mixed_count;
    size_t both[ONP_CLI_MIXED_TOP + 1]; // of all mixed queries: both concepts among the first k
    double seconds;                     // from the start of the run to the last embedding
};

// Embeds everything and fills the rest in. Returns an exit code and has said why.
int onp_cli_demo_run(struct onp_cli_demo *demo, const char *model);
void onp_cli_demo_end(struct onp_cli_demo *demo);

bool onp_cli_demo_is_right(const struct onp_cli_demo *demo, size_t concept);
// Concepts at rank 1 in a direction.
size_t onp_cli_demo_hits(const struct onp_cli_demo *demo, int direction);
// Mixed queries of all pairs of different concepts.
size_t onp_cli_demo_pairs(const struct onp_cli_demo *demo);

// Median and total of the seconds that `kind` took: [0] preparing, [1] the encoder, [2] both.
struct onp_cli_spread {
    double median, total;
};
int onp_cli_demo_times(const struct onp_cli_demo *demo, enum onp_modality kind,
                       struct onp_cli_spread spread[3]);

// On standard output; as one page.
int onp_cli_demo_print(const struct onp_cli_demo *demo);
int onp_cli_demo_page(const struct onp_cli_demo *demo, FILE *file);

#endif
