// Everything that is compiled once per instruction set. The including file defines
//   LANES     floats in a vector register
//   LOOPS     the table this copy fills
//   HAS_F16C  1 if the processor converts half precision itself
#include "../dispatch.h"
#include "../pool.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base.h"
#include "functions_math.h"
#include "elementwise.h"
#include "reduce.h"
#include "norms.h"
#include "move.h"
#include "tile.h"
#include "gemm.h"
#include "winograd.h"
#include "convolution.h"
#include "attention.h"

const loops_t LOOPS = {
#define F(result, name, parameters, arguments) .name = name,
#include "../functions.def"
#undef F
};
