// Every loop for the compiler's baseline: runs on any processor.
#define LANES 4
#define LOOPS loops_generic
#include "loops/all.h"
