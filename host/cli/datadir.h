// SPDX-License-Identifier: Apache-2.0
// The folder of the files that come with the program: the default model and the demo.
#ifndef ONP_CLI_DATADIR_H
#define ONP_CLI_DATADIR_H

#define ONP_CLI_DEFAULT_MODEL "onepeace-tiny.safetensors"

// Where that folder is: $ONEPEACE_DATADIR if it is set; else, seen from the folder of the
// executable, the one that the installation fills (../share/onepeace), if it is there; else, in a
// build tree, the folder of the sources that the file `onepeace.datadir` beside the executable
// names. With none of these, the installed one, so that a message can say where files are missed.
// A file in it need not exist. The path belongs to the program. NULL, with a complaint, when memory
// is short or the executable's own path cannot be found out.
const char *onp_cli_datadir(void);

// The path of a file or folder in it, malloc'ed. NULL as above.
char *onp_cli_datadir_file(const char *name);

// The default model if it is there (and says so), NULL with a complaint of wrong use if it is not.
// The path belongs to the program.
const char *onp_cli_default_model(const char *command);

#endif
