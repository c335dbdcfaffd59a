// SPDX-License-Identifier: Apache-2.0
// onepeace: ONE-PEACE embeddings of pictures, sounds and text on any OpenCL device.
// Include this one; the parts are split by subject.
#ifndef ONEPEACE_ONEPEACE_H
#define ONEPEACE_ONEPEACE_H

#include "onepeace/device.h"
#include "onepeace/encoder.h"
#include "onepeace/model.h"
#include "onepeace/probe.h"
#include "onepeace/scorer.h"
#include "onepeace/status.h"
#include "onepeace/tune.h"

#endif
