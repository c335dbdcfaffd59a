// SPDX-License-Identifier: Apache-2.0
// A client of the installed headers alone, in C++. test_link_c.c is the same in C.
#include <onepeace/onepeace.h>

#include <cstring>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

static int failed = 0;

static void check(bool condition, const char *what) {
    if (condition) return;
    std::cerr << "FAILED: " << what << "\n";
    failed = 1;
}

int main() {
    std::vector<std::string> errors;
    onp_context_params params = onp_context_params();
    params.log_user = &errors;
    params.log = [](void *user, onp_log_level level, const char *message) {
        if (level == ONP_LOG_ERROR)
            static_cast<std::vector<std::string> *>(user)->push_back(message);
    };
    onp_context *created = nullptr;
    check(onp_context_create(&params, &created) == ONP_OK, "a context is made");
    const std::unique_ptr<onp_context, void (*)(onp_context *)> context(created,
                                                                        onp_context_destroy);
    onp_model *model = nullptr;
    check(onp_model_open(context.get(), "no-such-model.pt", nullptr, &model) == ONP_ERR_IO,
          "a missing model is an I/O error");
    check(errors.size() == 1 && errors[0].find("no-such-model.pt") != std::string::npos,
          "it is logged once and names the file");

    onp_device_info *list = nullptr;
    size_t count = 0;
    check(onp_device_list(context.get(), &list, &count) == ONP_OK && count > 0,
          "devices are listed");
    check(count > 0 && std::strcmp(list[count - 1].backend, "ref") == 0,
          "the reference is the last");
    onp_device_list_free(list);

    const std::vector<float> rows = {1.0f, 0.0f, 0.0f, 1.0f};
    std::vector<float> dots(4);
    onp_similarity(rows.data(), 2, rows.data(), 2, 2, dots.data());
    check(dots == rows, "rows are compared");
    return failed;
}
