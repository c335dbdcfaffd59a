// SPDX-License-Identifier: Apache-2.0
#include "backend/registry.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/checked.h"

// The order of the list; the reference comes last.
static const struct onp_backend *const backends[] = {&onp_backend_opencl, &onp_backend_ref};

enum kind { AUTO, REF, INDEX, TYPE, VENDOR, UUID, NAME };
static const char *const type_names[] = {"CPU", "GPU", "accelerator", "other device"};

struct selector {
    enum kind kind;
    enum onp_device_type type;
    size_t index;
    const char *text; // what follows "vendor:" or "uuid:", or all of it
};

ONP_PRINTF(3, 4) static void append(char *text, size_t size, const char *fmt, ...) {
    const size_t used = strlen(text);
    va_list args;
    va_start(args, fmt);
    vsnprintf(text + used, size - used, fmt, args);
    va_end(args);
}

static bool contains(const char *text, const char *part) {
    const size_t n = strlen(part);
    for (; *text; text++)
        if (strncasecmp(text, part, n) == 0) return true;
    return false;
}

// Equal hex digits, whatever the case and the dashes.
static bool same_uuid(const char *a, const char *b) {
    if (!*a) return false;
    for (;; a++, b++) {
        a += strspn(a, "-");
        b += strspn(b, "-");
        if (tolower((unsigned char)*a) != tolower((unsigned char)*b)) return false;
        if (!*a) return true;
    }
}

static bool is_ref(const struct onp_device_info *info) { return strcmp(info->backend, "ref") == 0; }

// Digits name an index if there is such a device, otherwise a part of a name ("3090").
static bool parse_index(const char *text, size_t count, size_t *index) {
    const size_t n = strlen(text);
    if (n == 0 || n > 9 || strspn(text, "0123456789") != n) return false;
    *index = (size_t)strtoul(text, NULL, 10);
    return *index < count;
}

static struct selector parse(const char *text, size_t count) {
    struct selector s = {.kind = NAME, .text = text ? text : ""};
    if (!*s.text || strcasecmp(s.text, "auto") == 0)
        s.kind = AUTO;
    else if (strcasecmp(text, "ref") == 0)
        s.kind = REF;
    else if (strcasecmp(text, "gpu") == 0)
        s = (struct selector){TYPE, ONP_DEVICE_GPU, 0, text};
    else if (strcasecmp(text, "cpu") == 0)
        s = (struct selector){TYPE, ONP_DEVICE_CPU, 0, text};
    else if (strcasecmp(text, "accelerator") == 0)
        s = (struct selector){TYPE, ONP_DEVICE_ACCELERATOR, 0, text};
    else if (strncasecmp(text, "vendor:", 7) == 0 && text[7])
        s = (struct selector){.kind = VENDOR, .text = text + 7};
    else if (strncasecmp(text, "uuid:", 5) == 0 && text[5])
        s = (struct selector){.kind = UUID, .text = text + 5};
    else if (parse_index(text, count, &s.index))
        s.kind = INDEX;
    return s;
}

static bool matches(const struct selector *s, const struct onp_device_info *info, size_t index) {
    switch (s->kind) {
    case AUTO:
        return !is_ref(info);
    case REF:
        return is_ref(info);
    case INDEX:
        return index == s->index;
    case TYPE:
        return !is_ref(info) && info->type == s->type;
    case VENDOR:
        return !is_ref(info) &&
               (contains(info->vendor, s->text) || contains(info->platform, s->text));
    case UUID:
        return same_uuid(info->uuid, s->text);
    case NAME:
        return !is_ref(info) && contains(info->name, s->text);
    }
    return false;
}

// Lower is better; only auto ranks by type. A GPU with memory of its own is the faster of two.
static int rank(const struct selector *s, const struct onp_device_info *info) {
    static const int order[] = {[ONP_DEVICE_GPU] = 0,
                                [ONP_DEVICE_ACCELERATOR] = 2,
                                [ONP_DEVICE_CPU] = 3,
                                [ONP_DEVICE_OTHER] = 4};
    const int refused = info->refused ? 100 : 0;
    if (s->kind != AUTO) return refused;
    return refused + order[info->type] + (info->type == ONP_DEVICE_GPU && info->unified_memory);
}

static void explain(const struct selector *s, const struct onp_device_info *info, size_t matching,
                    struct onp_choice *choice) {
    char *why = choice->why;
    const size_t size = sizeof choice->why;
    const char *rank_word = matching > 1 ? "first" : "the only";
    why[0] = '\0';
    switch (s->kind) {
    case AUTO:
        append(why, size, "automatic choice: %s %s", rank_word, type_names[info->type]);
        break;
    case REF:
        append(why, size, "the reference was asked for");
        break;
    case INDEX:
        append(why, size, "number %zu was asked for", s->index);
        break;
    case TYPE:
        append(why, size, "%s %s", rank_word, type_names[info->type]);
        break;
    case VENDOR:
        append(why, size, "%s device of vendor \"%.60s\"", rank_word, s->text);
        break;
    case UUID:
        append(why, size, "UUID was asked for");
        break;
    case NAME:
        append(why, size, "%s device named \"%.60s\"", rank_word, s->text);
        break;
    }
    if (info->refused) append(why, size, ", forced");
}

static void tell_all(const struct onp_device_info *list, size_t count, struct onp_choice *choice) {
    char *text = choice->problem;
    append(text, sizeof choice->problem, "; there is:");
    for (size_t i = 0; i < count; i++)
        append(text, sizeof choice->problem, "%s %zu (%s, %s%s%s)", i ? "," : "", i, list[i].name,
               is_ref(&list[i]) ? "the reference" : type_names[list[i].type],
               list[i].refused ? ", refused: " : "", list[i].refused ? list[i].note : "");
}

static bool has_opencl(const struct onp_device_info *list, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!is_ref(&list[i])) return true;
    return false;
}

bool onp_registry_choose(const struct onp_device_info *list, size_t count, const char *selector,
                         bool force, struct onp_choice *choice) {
    *choice = (struct onp_choice){0};
    const struct selector s = parse(selector, count);
    size_t best = count, matching = 0;
    for (size_t i = 0; i < count; i++)
        if (matches(&s, &list[i], i) &&
            (best == count || rank(&s, &list[i]) < rank(&s, &list[best])))
            best = i;
    if (best == count) {
        if (s.kind != AUTO)
            append(choice->problem, sizeof choice->problem, "no device matches \"%.200s\"%s",
                   selector, has_opencl(list, count) ? "" : ": ");
        if (!has_opencl(list, count))
            append(choice->problem, sizeof choice->problem,
                   "no OpenCL device was found: install the driver of your GPU, or PoCL "
                   "(pocl-opencl-icd) for the CPU, or ask for \"ref\"");
        tell_all(list, count, choice);
        return false;
    }
    if (list[best].refused && !force) {
        append(choice->problem, sizeof choice->problem,
               "device %zu (%s) is refused: %s; it can be forced (--force)", best, list[best].name,
               list[best].note);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (!matches(&s, &list[i], i) || rank(&s, &list[i]) != rank(&s, &list[best])) continue;
        matching++;
        if (i != best)
            append(choice->others, sizeof choice->others, "%s%zu (%s)",
                   choice->others[0] ? ", " : "", i, list[i].name);
    }
    choice->index = best;
    explain(&s, &list[best], matching, choice);
    return true;
}

// The bare list of all back ends.
static enum onp_status enumerate(struct onp_context *context, struct onp_device_info **list,
                                 size_t *count) {
    *list = NULL;
    *count = 0;
    for (size_t b = 0; b < ONP_COUNT(backends); b++) {
        const enum onp_status status = backends[b]->list(context, list, count);
        if (status == ONP_OK) continue;
        free(*list);
        *list = NULL;
        *count = 0;
        return status;
    }
    for (size_t i = 0; i < *count; i++) (*list)[i].index = (int)i;
    return ONP_OK;
}

static void add_note(struct onp_device_info *info, const char *why) {
    append(info->note, sizeof info->note, "%s%s", info->note[0] ? "; " : "", why);
}

enum onp_status onp_registry_list(struct onp_context *context, struct onp_device_info **list,
                                  size_t *count) {
    ONP_TRY(enumerate(context, list, count));
    struct onp_choice choice;
    if (onp_registry_choose(*list, *count, NULL, false, &choice)) {
        (*list)[choice.index].chosen = true;
        add_note(&(*list)[choice.index], choice.why);
    }
    return ONP_OK;
}

static const struct onp_backend *backend_of(const struct onp_device_info *info) {
    for (size_t b = 0; b < ONP_COUNT(backends); b++)
        if (strcmp(backends[b]->name, info->backend) == 0) return backends[b];
    return NULL;
}

static enum onp_status open_chosen(struct onp_context *context, struct onp_device_info *info,
                                   const struct onp_choice *choice, struct onp_device **out) {
    const struct onp_log *log = &context->log;
    add_note(info, choice->why);
    ONP_TRY(backend_of(info)->open(context, info, out));
    onp_log(log, ONP_LOG_INFO, "device %d: %s (%s, driver %s): %s", info->index, info->name,
            info->platform, info->driver, info->note);
    if (choice->others[0])
        onp_log(log, ONP_LOG_INFO, "other devices that match as well: %s", choice->others);
    if (info->refused)
        onp_log(log, ONP_LOG_WARNING, "device %d was forced in spite of a known fault",
                info->index);
    return ONP_OK;
}

enum onp_status onp_registry_open(struct onp_context *context, const char *selector, bool force,
                                  struct onp_device **out) {
    struct onp_device_info *list;
    size_t count;
    *out = NULL;
    ONP_TRY(enumerate(context, &list, &count));
    struct onp_choice choice, automatic;
    if (onp_registry_choose(list, count, NULL, false, &automatic))
        list[automatic.index].chosen = true;
    enum onp_status status;
    if (onp_registry_choose(list, count, selector, force, &choice))
        status = open_chosen(context, &list[choice.index], &choice, out);
    else
        status = onp_fail(&context->log, ONP_ERR_NO_DEVICE, "%s", choice.problem);
    free(list);
    return status;
}

void onp_registry_close(struct onp_device *device) {
    if (device) device->backend->close(device);
}
