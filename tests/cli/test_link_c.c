// SPDX-License-Identifier: Apache-2.0
// A client of the installed headers alone, in strict C11. test_link_cpp.cc is the same in C++.
#include <onepeace/onepeace.h>

#include <stdio.h>
#include <string.h>

static int check(int condition, const char *what) {
    if (!condition) fprintf(stderr, "FAILED: %s\n", what);
    return condition ? 0 : 1;
}

static void count_errors(void *user, enum onp_log_level level, const char *message) {
    (void)message;
    if (level == ONP_LOG_ERROR) ++*(int *)user;
}

int main(void) {
    int errors = 0, failed = 0;
    const struct onp_context_params params = {.log = count_errors, .log_user = &errors};
    struct onp_context *context = NULL;
    struct onp_model *model = NULL;
    struct onp_device_info *list = NULL;
    size_t count = 0;

    failed += check(strchr(onp_version(), '.') != NULL, "the version has dots");
    failed += check(onp_context_create(&params, &context) == ONP_OK, "a context is made");
    failed += check(onp_model_open(context, "no-such-model.pt", NULL, &model) == ONP_ERR_IO,
                    "a missing model is an I/O error");
    failed += check(model == NULL && errors == 1, "it is logged once");
    failed += check(strstr(onp_last_error(), "no-such-model.pt") != NULL, "it names the file");
    failed +=
        check(onp_device_list(context, &list, &count) == ONP_OK && count > 0, "devices are listed");
    failed += check(count > 0 && strcmp(list[count - 1].backend, "ref") == 0,
                    "the reference is the last");
    onp_device_list_free(list);

    const float rows[4] = {1.0f, 0.0f, 0.0f, 1.0f};
    float mean[2] = {0.0f, 0.0f}, dots[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    onp_combine(rows, 2, 2, mean);
    failed += check(mean[0] > 0.7071f && mean[0] < 0.7072f && mean[1] == mean[0], "rows combine");
    onp_similarity(rows, 2, rows, 2, 2, dots);
    failed += check(dots[0] == 1.0f && dots[1] == 0.0f && dots[3] == 1.0f, "rows are compared");
    onp_model_close(model);
    onp_context_destroy(context);
    return failed != 0;
}
