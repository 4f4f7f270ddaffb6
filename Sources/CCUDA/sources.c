// The kernels' text, in the program itself: what runs from any place needs no folder beside it.
#include "CCUDA.h"
#pragma clang diagnostic ignored "-Wc23-extensions"

#define TEXT(name) static const char name[] = {
#define END , 0};
TEXT(attention)
#embed "../CUDADevice/kernels/prelude.cuh"
    ,
#embed "../CUDADevice/kernels/attention.cu"
END
TEXT(convert)
#embed "../CUDADevice/kernels/prelude.cuh"
    ,
#embed "../CUDADevice/kernels/convert.cu"
END
TEXT(convolution)
#embed "../CUDADevice/kernels/prelude.cuh"
    ,
#embed "../CUDADevice/kernels/convolution.cu"
END
TEXT(diffusion)
#embed "../CUDADevice/kernels/prelude.cuh"
    ,
#embed "../CUDADevice/kernels/diffusion.cu"
END
TEXT(elementwise)
#embed "../CUDADevice/kernels/prelude.cuh"
    ,
#embed "../CUDADevice/kernels/elementwise.cu"
END
TEXT(embedding)
#embed "../CUDADevice/kernels/prelude.cuh"
    ,
#embed "../CUDADevice/kernels/embedding.cu"
END
TEXT(movement)
#embed "../CUDADevice/kernels/prelude.cuh"
    ,
#embed "../CUDADevice/kernels/movement.cu"
END
TEXT(norms)
#embed "../CUDADevice/kernels/prelude.cuh"
    ,
#embed "../CUDADevice/kernels/norms.cu"
END
TEXT(optimizers)
#embed "../CUDADevice/kernels/prelude.cuh"
    ,
#embed "../CUDADevice/kernels/optimizers.cu"
END
TEXT(reductions)
#embed "../CUDADevice/kernels/prelude.cuh"
    ,
#embed "../CUDADevice/kernels/reductions.cu"
END
TEXT(softmax)
#embed "../CUDADevice/kernels/prelude.cuh"
    ,
#embed "../CUDADevice/kernels/softmax.cu"
END

bool ccuda_load_all_kernels(ccuda_context *context) {
    static const ccuda_source sources[] = {
        {"attention.cu", attention}, {"convert.cu", convert}, {"convolution.cu", convolution}, {"diffusion.cu", diffusion},
        {"elementwise.cu", elementwise}, {"embedding.cu", embedding}, {"movement.cu", movement}, {"norms.cu", norms},
        {"optimizers.cu", optimizers}, {"reductions.cu", reductions}, {"softmax.cu", softmax},
    };
    return ccuda_load_kernels(context, sources, sizeof sources / sizeof sources[0]);
}
