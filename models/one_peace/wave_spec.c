// SPDX-License-Identifier: Apache-2.0
// Reads feature_encoder_spec. Upstream evaluates it as a Python expression; here it is data of one
// shape: lists of (channels, kernel, stride), repeated by `* n` and joined by `+`.
#include <ctype.h>
#include <stdlib.h>

#include "models/one_peace/one_peace.h"

struct reader {
    const char *p;
    const char *why;
};

static bool fail(struct reader *r, const char *why) {
    r->why = why;
    return false;
}

static void skip_space(struct reader *r) {
    while (isspace((unsigned char)*r->p)) r->p++;
}

static bool accept(struct reader *r, char c) {
    skip_space(r);
    if (*r->p != c) return false;
    r->p++;
    return true;
}

static bool number(struct reader *r, int32_t *out) {
    skip_space(r);
    if (!isdigit((unsigned char)*r->p)) return fail(r, "a positive whole number is expected");
    long value = 0;
    for (; isdigit((unsigned char)*r->p); r->p++) {
        value = value * 10 + (*r->p - '0');
        if (value > 65536) return fail(r, "a number is above 65536");
    }
    *out = (int32_t)value;
    return value > 0 ? true : fail(r, "a number is zero");
}

static bool triple(struct reader *r, struct onp_wave_conv *conv) {
    if (!accept(r, '(')) return fail(r, "( is expected");
    if (!number(r, &conv->channels)) return false;
    if (!accept(r, ',')) return fail(r, ", is expected");
    if (!number(r, &conv->kernel)) return false;
    if (!accept(r, ',')) return fail(r, ", is expected");
    if (!number(r, &conv->stride)) return false;
    accept(r, ',');
    return accept(r, ')') ? true : fail(r, ") is expected");
}

// One bracketed list with its repetition, appended to convs.
static bool term(struct reader *r, struct onp_wave_conv *convs, int32_t *count) {
    if (!accept(r, '[')) return fail(r, "[ is expected");
    const int32_t start = *count;
    do {
        if (accept(r, ']')) {
            r->p--; // an empty list or a trailing comma
            break;
        }
        if (*count == ONP_MAX_CONVS) return fail(r, "more than 16 convolutions");
        if (!triple(r, &convs[*count])) return false;
        (*count)++;
    } while (accept(r, ','));
    if (!accept(r, ']')) return fail(r, "] is expected");
    int32_t times = 1;
    if (accept(r, '*') && !number(r, &times)) return false;
    const int32_t length = *count - start;
    for (int32_t i = length; i < length * times; i++) {
        if (*count == ONP_MAX_CONVS) return fail(r, "more than 16 convolutions");
        convs[*count] = convs[start + i % length];
        (*count)++;
    }
    return true;
}

bool onp_parse_wave_spec(const char *text, struct onp_wave_conv *convs, int32_t *count,
                         const char **why) {
    struct reader r = {.p = text};
    *count = 0;
    bool ok = true;
    do ok = term(&r, convs, count);
    while (ok && accept(&r, '+'));
    skip_space(&r);
    if (ok && *r.p != '\0') ok = fail(&r, "text follows the last list");
    if (ok && *count == 0) ok = fail(&r, "it lists no convolution");
    *why = ok ? "" : r.why;
    return ok;
}
