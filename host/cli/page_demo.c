// SPDX-License-Identifier: Apache-2.0
// The demo as one page: fills the slots of pages/demo.html.
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/demo.h"
#include "cli/html.h"
#include "cli/log.h"
#include "cli/text.h"

enum { HEAT = 10, BARS = 48 };

struct page {
    const struct onp_cli_demo *demo;
    char (*waves)[BARS + 1]; // of each sound, heights from '0' to 'z'
    float *seconds;          // of each sound
    size_t used;             // bytes of pictures and sounds in the page
    int code;
};

static const char *name_of(const struct page *page, size_t concept) {
    return page->demo->data.list[concept].name;
}

static double percent(size_t part, size_t whole) {
    return whole ? 100.0 * (double)part / (double)whole : 0.0;
}

static float score_of(const struct page *page, enum onp_cli_pair pair, size_t row, size_t column) {
    return page->demo->scores[pair][row * page->demo->count + column];
}

// --- Sounds as shapes --------------------------------------------------------------------------

// Peaks of equal parts of a sound, in 36 steps of the highest. What cannot be decoded this way (an
// array of samples) stays flat.
static void draw_wave(struct page *page, size_t concept) {
    static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    const struct onp_cli_demo *demo = page->demo;
    float *samples = NULL, peaks[BARS] = {0}, highest = 0.0f;
    size_t count = 0;
    onp_cli_capture();
    enum onp_status status =
        onp_preprocess_audio(demo->session.context, demo->data.list[concept].path[ONP_AUDIO],
                             demo->session.info.max_audio_seconds, &samples, &count);
    onp_cli_release(status);
    if (status != ONP_OK) count = 0;
    for (size_t i = 0; i < count; i++) {
        const size_t bar = i * BARS / count;
        const float height = samples[i] < 0.0f ? -samples[i] : samples[i];
        if (height > peaks[bar]) peaks[bar] = height;
        if (height > highest) highest = height;
    }
    for (size_t i = 0; i < BARS; i++)
        page->waves[concept][i] = digits[highest > 0.0f ? (int)(35.0f * peaks[i] / highest) : 0];
    page->seconds[concept] = (float)count / 16000.0f;
    onp_free(samples);
}

static void put_wave(FILE *file, const char *wave) {
    fprintf(file,
            "<svg class=\"wave\" viewBox=\"0 0 %d 40\" preserveAspectRatio=\"none\" "
            "aria-hidden=\"true\"><path d=\"",
            3 * BARS);
    for (int i = 0; i < BARS; i++) {
        const int digit = wave[i] <= '9' ? wave[i] - '0' : wave[i] - 'a' + 10;
        fprintf(file, "M%d.5 %.1fv%.1f", 3 * i + 1, 19.0 - 0.5 * digit, 2.0 + digit);
    }
    fputs("\"/></svg>", file);
}

// --- The head ----------------------------------------------------------------------------------

static void put_lead(FILE *file, void *user) {
    const struct page *page = user;
    const size_t n = page->demo->count;
    fprintf(
        file,
        "One model turned %zu pictures, %zu sounds and %zu words into embeddings of %zu numbers "
        "each. What belongs together should lie close together, so that each finds the others.",
        n, n, n, page->demo->dim);
}

static void put_about(FILE *file, void *user) {
    const char *about = ((const struct page *)user)->demo->data.about;
    if (!about) return;
    fputs("<p class=\"about\">", file);
    onp_cli_html_cstring(file, about);
    fputs("</p>", file);
}

static void put_total(FILE *file, void *user) {
    const struct onp_cli_demo *demo = ((const struct page *)user)->demo;
    fprintf(file,
            "<strong>%zu</strong> <span>of %zu concepts are told apart from one another in all "
            "six directions, %zu of them from all the others as well</span>",
            demo->group_count, demo->count, demo->right);
}

static void put_arrow(FILE *file, int direction) {
    fprintf(file, "%s <span aria-label=\"to\" role=\"img\">&#8594;</span> %s",
            onp_cli_kind_name(onp_cli_direction_from(direction)),
            onp_cli_kind_name(onp_cli_direction_to(direction)));
}

static void put_tiles(FILE *file, void *user) {
    const struct onp_cli_demo *demo = ((const struct page *)user)->demo;
    for (int d = 0; d < ONP_CLI_DIRECTIONS; d++) {
        const size_t hits = onp_cli_demo_hits(demo, d);
        fprintf(file, "<li><p>");
        put_arrow(file, d);
        fprintf(file, "</p><p class=\"hits\"><strong>%zu</strong> <span>of %zu</span></p>", hits,
                demo->count);
        onp_cli_html_bar(file, 0.01 * percent(hits, demo->count));
        fputs("</li>\n", file);
    }
}

// The first shown concept: its three items and how near they are.
static void put_trio(FILE *file, void *user) {
    struct page *page = user;
    const size_t c = page->demo->shown[0];
    static const char *const edge[ONP_CLI_PAIRS] = {"left", "right", "above"};
    fputs("<figure class=\"trio\" id=\"trio\">\n<svg class=\"lines\" viewBox=\"0 0 100 90\" "
          "preserveAspectRatio=\"none\" aria-hidden=\"true\"><path d=\"M22 24H78L50 76z\"/></svg>\n"
          "<div class=\"node image\">",
          file);
    onp_cli_html_media(file, ONP_IMAGE, page->demo->data.list[c].path[ONP_IMAGE], "",
                       "Picture of: ", name_of(page, c), &page->used);
    fputs("</div>\n<div class=\"node audio\">", file);
    put_wave(file, page->waves[c]);
    fputs("</div>\n<p class=\"node text\">", file);
    onp_cli_html_cstring(file, name_of(page, c));
    fputs("</p>\n", file);
    for (int p = 0; p < ONP_CLI_PAIRS; p++)
        fprintf(file,
                "<p class=\"edge %s\"><span class=\"vh\">%s to %s: </span>"
                "<span class=\"score\">%.2f</span></p>\n",
                edge[p], onp_cli_kind_name(onp_cli_pair_kinds[p][0]),
                onp_cli_kind_name(onp_cli_pair_kinds[p][1]),
                (double)score_of(page, (enum onp_cli_pair)p, c, c));
    fputs("<figcaption>1 is the same direction, 0 is unrelated</figcaption>\n</figure>\n", file);
}

// --- Matrices ----------------------------------------------------------------------------------

static void put_choice(FILE *file, void *user) {
    const struct onp_cli_demo *demo = ((const struct page *)user)->demo;
    if (demo->shown_are_group)
        fprintf(file,
                "The %zu concepts shown here were chosen because the model gets them right: among "
                "these alone each finds its own in all six directions. <a href=\"#table\">The "
                "whole table</a> has the others, and what it gets wrong.",
                demo->shown_count);
    else
        fprintf(file,
                "Too few concepts are told apart to show these alone: here are the %zu with the "
                "best ranks, and <a href=\"#table\">the whole table</a> has all.",
                demo->shown_count);
}

static void range_of(const struct page *page, enum onp_cli_pair pair, float range[2]) {
    const struct onp_cli_demo *demo = page->demo;
    range[0] = range[1] = score_of(page, pair, demo->shown[0], demo->shown[0]);
    for (size_t i = 0; i < demo->shown_count; i++)
        for (size_t j = 0; j < demo->shown_count; j++) {
            const float score = score_of(page, pair, demo->shown[i], demo->shown[j]);
            if (score < range[0]) range[0] = score;
            if (score > range[1]) range[1] = score;
        }
}

static void put_cell(FILE *file, float score, const float range[2], bool right) {
    const float width = range[1] - range[0];
    const int heat = width > 0.0f ? (int)((score - range[0]) / width * HEAT + 0.5f) : HEAT;
    fprintf(file, "<td class=\"h%d%s\"><span class=\"value\">%.2f</span>%s</td>", heat,
            right ? " right" : "", (double)score,
            right ? "<span class=\"vh\"> right answer</span>" : "");
}

static void put_heads(FILE *file, const struct page *page) {
    for (size_t j = 0; j < page->demo->shown_count; j++) {
        fprintf(file, "<th scope=\"col\" data-concept=\"%zu\"><span>", page->demo->shown[j]);
        onp_cli_html_cstring(file, name_of(page, page->demo->shown[j]));
        fputs("</span></th>", file);
    }
}

static void put_matrix(FILE *file, const struct page *page, enum onp_cli_pair pair) {
    const struct onp_cli_demo *demo = page->demo;
    const char *row = onp_cli_kind_name(onp_cli_pair_kinds[pair][0]);
    const char *column = onp_cli_kind_name(onp_cli_pair_kinds[pair][1]);
    float range[2];
    range_of(page, pair, range);
    fprintf(file,
            "<figure class=\"heat panel\" data-pair=\"%d\">\n<h3 id=\"pair-%d\">%ss and %ss</h3>\n"
            "<div class=\"scroll\" role=\"region\" aria-labelledby=\"pair-%d\" tabindex=\"0\">\n"
            "<table aria-labelledby=\"pair-%d\"><thead><tr><td class=\"corner\"></td>",
            (int)pair, (int)pair, row, column, (int)pair, (int)pair);
    put_heads(file, page);
    fputs("</tr></thead>\n<tbody>\n", file);
    for (size_t i = 0; i < demo->shown_count; i++) {
        fprintf(file, "<tr><th scope=\"row\" data-concept=\"%zu\"><div><span>", demo->shown[i]);
        onp_cli_html_cstring(file, name_of(page, demo->shown[i]));
        fputs("</span></div></th>", file);
        for (size_t j = 0; j < demo->shown_count; j++)
            put_cell(file, score_of(page, pair, demo->shown[i], demo->shown[j]), range, i == j);
        fputs("</tr>\n", file);
    }
    fprintf(file,
            "</tbody></table></div>\n<figcaption><span class=\"legend\"><span>%.2f</span>"
            "<span class=\"ramp\" aria-hidden=\"true\"></span><span>%.2f</span></span>"
            "<span class=\"hint\">%ss down, %ss across</span></figcaption>\n</figure>\n",
            (double)range[0], (double)range[1], row, column);
}

static void put_matrices(FILE *file, void *user) {
    for (int p = 0; p < ONP_CLI_PAIRS; p++) put_matrix(file, user, (enum onp_cli_pair)p);
}

// --- Mixed queries -----------------------------------------------------------------------------

static void put_found(FILE *file, struct page *page, const struct onp_cli_mixed *mixed, size_t k) {
    const size_t found = mixed->found[k];
    const char *mark = found == mixed->sound ? "audio" : found == mixed->word ? "text" : NULL;
    fprintf(file, "<li%s>", mark ? " class=\"hit\"" : "");
    onp_cli_html_media(file, ONP_IMAGE, page->demo->data.list[found].path[ONP_IMAGE],
                       "loading=\"lazy\"", "", "", &page->used);
    fputs("<span class=\"name\">", file);
    onp_cli_html_cstring(file, name_of(page, found));
    fprintf(file, "</span><span class=\"score\">%.2f</span>", (double)mixed->score[k]);
    if (mark)
        fprintf(file, "<span class=\"kind %s\">the %s</span>", mark,
                found == mixed->sound ? "sound" : "word");
    fputs("</li>", file);
}

static void put_mixed(FILE *file, void *user) {
    struct page *page = user;
    const struct onp_cli_demo *demo = page->demo;
    if (demo->mixed_count == 0) {
        fputs("<p class=\"about\">A mixed query takes two concepts; the table has too few.</p>",
              file);
        return;
    }
    fputs("<ul class=\"mixed\">\n", file);
    for (size_t i = 0; i < demo->mixed_count; i++) {
        const struct onp_cli_mixed *mixed = &demo->mixed[i];
        fprintf(file,
                "<li class=\"panel\"><p class=\"sum\"><span class=\"kind audio\" "
                "data-sound=\"%zu\">sound of ",
                mixed->sound);
        onp_cli_html_cstring(file, name_of(page, mixed->sound));
        fputs("</span> + <span class=\"kind text\">", file);
        onp_cli_html_cstring(file, name_of(page, mixed->word));
        fputs("</span></p>\n<ol class=\"row\">", file);
        for (size_t k = 0; k < ONP_CLI_MIXED_TOP && k < demo->count; k++)
            put_found(file, page, mixed, k);
        fputs("</ol></li>\n", file);
    }
    const size_t pairs = onp_cli_demo_pairs(demo);
    fprintf(file,
            "</ul>\n<p class=\"about\">These go through the concepts shown above, as they come. "
            "Of all %zu such queries of the whole table, both concepts are among the first two "
            "pictures in %.1f&#160;%%, among the first three in %.1f&#160;%%.</p>",
            pairs, percent(demo->both[2], pairs), percent(demo->both[3], pairs));
}

// --- The whole table ---------------------------------------------------------------------------

static void put_table_about(FILE *file, void *user) {
    const struct onp_cli_demo *demo = ((const struct page *)user)->demo;
    fprintf(file,
            "The place at which the right answer comes, among %zu; 1 is right. Concepts "
            "with a tick are right in all six directions: %zu.",
            demo->count, demo->right);
}

static void put_table_head(FILE *file, void *user) {
    (void)user;
    for (int d = 0; d < ONP_CLI_DIRECTIONS; d++) {
        fputs("<th scope=\"col\" class=\"rank\"><span>", file);
        put_arrow(file, d);
        fputs("</span></th>", file);
    }
}

static void put_table(FILE *file, void *user) {
    struct page *page = user;
    const struct onp_cli_demo *demo = page->demo;
    char attributes[64];
    for (size_t i = 0; i < demo->count; i++) {
        const bool right = onp_cli_demo_is_right(demo, i);
        fprintf(file, "<tr><th scope=\"row\"><div class=\"concept\">");
        snprintf(attributes, sizeof attributes, "id=\"p%zu\"", i);
        onp_cli_html_media(file, ONP_IMAGE, demo->data.list[i].path[ONP_IMAGE], attributes,
                           "Picture of: ", name_of(page, i), &page->used);
        fputs("<span class=\"name\">", file);
        onp_cli_html_cstring(file, name_of(page, i));
        fprintf(file, "</span>%s</div></th><td class=\"sound\">",
                right ? "<span class=\"tick\" role=\"img\" aria-label=\"right in all six\"></span>"
                      : "");
        snprintf(attributes, sizeof attributes, "id=\"s%zu\" preload=\"none\"", i);
        onp_cli_html_media(file, ONP_AUDIO, demo->data.list[i].path[ONP_AUDIO], attributes,
                           "Sound of: ", name_of(page, i), &page->used);
        fputs("</td>", file);
        for (size_t d = 0; d < ONP_CLI_DIRECTIONS; d++) {
            const size_t rank = demo->ranks[i * ONP_CLI_DIRECTIONS + d];
            fprintf(file, "<td class=\"rank%s\">%zu</td>",
                    rank == 1  ? " first"
                    : rank < 6 ? " near"
                               : "",
                    rank);
        }
        fputs("</tr>\n", file);
    }
}

// --- How it was made ---------------------------------------------------------------------------

static void put_times(FILE *file, void *user) {
    struct page *page = user;
    const struct onp_cli_demo *demo = page->demo;
    static const enum onp_modality order[] = {ONP_IMAGE, ONP_AUDIO, ONP_TEXT};
    struct onp_encoder_stats stats = {0};
    fputs("<div class=\"scroll\" role=\"region\" aria-label=\"Times\" tabindex=\"0\">"
          "<table class=\"times\"><caption>Milliseconds an item, median; and in total"
          "</caption><thead><tr><td></td><th scope=\"col\">reading</th><th scope=\"col\">encoder"
          "</th><th scope=\"col\">both</th><th scope=\"col\">total</th></tr></thead>\n<tbody>\n",
          file);
    for (int m = 0; m < ONP_MODALITY_COUNT; m++) {
        struct onp_cli_spread spread[3] = {{0}};
        int code = onp_cli_demo_times(demo, order[m], spread);
        if (code != ONP_CLI_OK) page->code = code;
        fprintf(file, "<tr><th scope=\"row\">%zu %ss</th>", demo->count,
                onp_cli_kind_name(order[m]));
        for (int part = 0; part < 3; part++)
            fprintf(file, "<td>%.2f</td>", 1e3 * spread[part].median);
        fprintf(file, "<td>%.0f</td></tr>\n", 1e3 * spread[2].total);
    }
    onp_encoder_get_stats(demo->session.encoder, &stats);
    fprintf(file,
            "</tbody></table></div>\n<p class=\"note\">Encoder times are shares of a batch. The "
            "weights were loaded in %.2f s, the kernels were ready in %.2f s, and everything was "
            "embedded %.2f s after the start.</p>",
            stats.load_seconds, stats.compile_seconds, demo->seconds);
}

static void put_fact(FILE *file, const char *term, const char *value) {
    if (!*value) return;
    fprintf(file, "<div><dt>%s</dt><dd>", term);
    onp_cli_html_cstring(file, value);
    fputs("</dd></div>\n", file);
}

static void put_facts(FILE *file, void *user) {
    const struct onp_cli_demo *demo = ((const struct page *)user)->demo;
    const struct onp_device_info *device = onp_device_get_info(demo->session.device);
    const struct onp_model_info *model = &demo->session.info;
    const char *slash = strrchr(model->path, '/');
    char text[256], bytes[24];
    put_fact(file, "Model file", slash ? slash + 1 : model->path); // where it lies is private
    snprintf(text, sizeof text, "%s, %s, %s", onp_cli_bytes(bytes, model->file_bytes),
             model->format, onp_dtype_name(model->dtype));
    put_fact(file, "Kept as", text);
    snprintf(text, sizeof text,
             "%s, %" PRIu32 " layers, %" PRIu32 " heads, embeddings of %" PRIu32 " numbers",
             model->family, model->layers, model->heads, model->embed_dim);
    put_fact(file, "Architecture", text);
    snprintf(text, sizeof text,
             "pictures of %" PRIu32 " pixels a side, sounds of at most %g s at %g kHz",
             model->image_size, (double)model->max_audio_seconds, 1e-3 * model->sample_rate);
    put_fact(file, "It sees and hears", text);
    put_fact(file, "Weights on the device", demo->settings.dtype ? "f16" : "f32");
    put_fact(file, "Device", device->name);
    put_fact(file, "Platform", device->platform);
    put_fact(file, "Driver", device->driver);
    put_fact(file, "Decoders", onp_decoders());
    put_fact(file, "Licence of the weights", "as the model's card says");
}

static void put_credits(FILE *file, void *user) {
    const struct page *page = user;
    for (size_t i = 0; i < page->demo->count; i++) {
        const struct onp_cli_concept *concept = &page->demo->data.list[i];
        fputs("<tr><th scope=\"row\">", file);
        onp_cli_html_cstring(file, concept->name);
        fputs("</th><td>", file);
        onp_cli_html_cstring(file, concept->credit[ONP_IMAGE]);
        fputs("</td><td>", file);
        onp_cli_html_cstring(file, concept->credit[ONP_AUDIO]);
        fputs("</td></tr>\n", file);
    }
}

static void put_files(FILE *file, void *user) {
    fprintf(file, "%zu", 2 * ((const struct page *)user)->demo->count);
}

static void put_version(FILE *file, void *user) {
    (void)user;
    fputs(onp_version(), file);
}

// --- What the script works with ----------------------------------------------------------------

static void put_list(FILE *file, const size_t *list, size_t count) {
    for (size_t i = 0; i < count; i++) fprintf(file, "%s%zu", i ? "," : "", list[i]);
}

static void write_json(FILE *file, const struct page *page) {
    const struct onp_cli_demo *demo = page->demo;
    const size_t n = demo->count;
    fputs("{\"concepts\":[", file);
    for (size_t i = 0; i < n; i++) {
        fputs(i ? ",{\"name\":" : "{\"name\":", file);
        onp_cli_json_cstring(file, name_of(page, i));
        fprintf(file, ",\"right\":%s,\"wave\":\"%s\",\"seconds\":%.2f,\"ranks\":[",
                onp_cli_demo_is_right(demo, i) ? "true" : "false", page->waves[i],
                (double)page->seconds[i]);
        put_list(file, demo->ranks + i * ONP_CLI_DIRECTIONS, ONP_CLI_DIRECTIONS);
        fputs("]}", file);
    }
    fputs("],\"shown\":[", file);
    put_list(file, demo->shown, demo->shown_count);
    fputs("],\"scores\":[", file); // by pair, rows one after the other
    for (int p = 0; p < ONP_CLI_PAIRS; p++) {
        fputs(p ? ",[" : "[", file);
        for (size_t i = 0; i < n * n; i++)
            fprintf(file, "%s%.7g", i ? "," : "", (double)demo->scores[p][i]);
        putc(']', file);
    }
    fputs("]}", file);
}

static void put_json(FILE *file, void *user) {
    struct page *page = user;
    char *json = NULL;
    size_t bytes = 0;
    FILE *memory = open_memstream(&json, &bytes);
    if (memory) write_json(memory, page);
    if (!memory || fclose(memory) != 0)
        page->code = onp_cli_fail("out of memory");
    else
        onp_cli_html_json(file, json, bytes);
    free(json);
}

int onp_cli_demo_page(const struct onp_cli_demo *demo, FILE *file) {
    static const struct onp_cli_slot slots[] = {
        {"lead", put_lead},
        {"total", put_total},
        {"about", put_about},
        {"tiles", put_tiles},
        {"trio", put_trio},
        {"choice", put_choice},
        {"matrices", put_matrices},
        {"mixed", put_mixed},
        {"table_about", put_table_about},
        {"table_head", put_table_head},
        {"table", put_table},
        {"times", put_times},
        {"facts", put_facts},
        {"files", put_files},
        {"credits", put_credits},
        {"version", put_version},
        {"json", put_json},
        {0},
    };
    struct page page = {.demo = demo};
    page.waves = calloc(demo->count, sizeof *page.waves);
    page.seconds = calloc(demo->count, sizeof *page.seconds);
    if (page.waves && page.seconds) {
        for (size_t i = 0; i < demo->count; i++) draw_wave(&page, i);
        onp_cli_html_page(file, "demo", slots, &page);
    } else {
        page.code = onp_cli_fail("out of memory");
    }
    free(page.waves);
    free(page.seconds);
    return page.code;
}
