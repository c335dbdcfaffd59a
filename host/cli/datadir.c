// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/datadir.h"
#include "cli/log.h"

// The data folder as the program's folder sees it; Meson knows it for other layouts.
#ifndef ONP_DATADIR_FROM_BINDIR
#define ONP_DATADIR_FROM_BINDIR "../share/onepeace"
#endif
#define BUILD_TREE_FILE "onepeace.datadir"

static bool is_folder(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static char *join(const char *folder, const char *name) {
    const size_t size = strlen(folder) + strlen(name) + 2;
    char *path = malloc(size);
    if (path)
        snprintf(path, size, "%s/%s", folder, name);
    else
        onp_cli_fail("out of memory");
    return path;
}

// Links are resolved by the system: a link to the program finds the program's data.
static bool executable_folder(char folder[PATH_MAX]) {
    const ssize_t length = readlink("/proc/self/exe", folder, PATH_MAX - 1);
    if (length > 0 && length < PATH_MAX - 1) {
        folder[length] = '\0';
        char *slash = strrchr(folder, '/');
        if (slash && slash > folder) {
            *slash = '\0';
            return true;
        }
    }
    onp_cli_fail("the folder of this program cannot be found (/proc/self/exe: %s); set "
                 "ONEPEACE_DATADIR to the folder with its data",
                 length < 0 ? strerror(errno) : "an unusual path");
    return false;
}

// One line that names the folder, written by the build; never installed.
static char *build_tree_folder(const char *bindir) {
    char line[PATH_MAX];
    char *name = join(bindir, BUILD_TREE_FILE);
    FILE *file = name ? fopen(name, "re") : NULL;
    free(name);
    if (!file) return NULL;
    const bool read = fgets(line, sizeof line, file) != NULL;
    fclose(file);
    if (!read) return NULL;
    line[strcspn(line, "\n")] = '\0';
    return is_folder(line) ? strdup(line) : NULL;
}

static char *find_folder(void) {
    const char *given = getenv("ONEPEACE_DATADIR");
    if (given && *given) return strdup(given);
    char bindir[PATH_MAX];
    if (!executable_folder(bindir)) return NULL;
    char *installed = ONP_DATADIR_FROM_BINDIR[0] == '/' ? strdup(ONP_DATADIR_FROM_BINDIR)
                                                        : join(bindir, ONP_DATADIR_FROM_BINDIR);
    if (!installed || is_folder(installed)) return installed;
    char *sources = build_tree_folder(bindir);
    if (!sources) return installed;
    free(installed);
    return sources;
}

const char *onp_cli_datadir(void) {
    static char *folder; // found once, kept until the program ends
    if (!folder) folder = find_folder();
    return folder;
}

char *onp_cli_datadir_file(const char *name) {
    const char *folder = onp_cli_datadir();
    return folder ? join(folder, name) : NULL;
}

const char *onp_cli_default_model(const char *command) {
    static char *path;
    if (!path) path = onp_cli_datadir_file(ONP_CLI_DEFAULT_MODEL);
    if (!path) return NULL;
    if (access(path, F_OK) == 0) {
        onp_cli_say(ONP_LOG_INFO,
                    "model %s (the default; --model or ONEPEACE_MODEL choose another)", path);
        return path;
    }
    onp_cli_wrong(command,
                  "no model: the default, %s, is not there (%s); give --model FILE, set "
                  "ONEPEACE_MODEL, or set ONEPEACE_DATADIR to the folder that holds %s",
                  path, strerror(errno), ONP_CLI_DEFAULT_MODEL);
    return NULL;
}
