// The kernels, the same text that a card's compiler gets: each file behind the prelude.
#include "cuda_on_host.h"

namespace attention_kernels {
#include "../../Sources/CUDADevice/kernels/prelude.cuh"
#include "../../Sources/CUDADevice/kernels/attention.cu"
}
namespace convert_kernels {
#include "../../Sources/CUDADevice/kernels/prelude.cuh"
#include "../../Sources/CUDADevice/kernels/convert.cu"
}
namespace convolution_kernels {
#include "../../Sources/CUDADevice/kernels/prelude.cuh"
#include "../../Sources/CUDADevice/kernels/convolution.cu"
}
namespace diffusion_kernels {
#include "../../Sources/CUDADevice/kernels/prelude.cuh"
#include "../../Sources/CUDADevice/kernels/diffusion.cu"
}
namespace elementwise_kernels {
#include "../../Sources/CUDADevice/kernels/prelude.cuh"
#include "../../Sources/CUDADevice/kernels/elementwise.cu"
}
namespace embedding_kernels {
#include "../../Sources/CUDADevice/kernels/prelude.cuh"
#include "../../Sources/CUDADevice/kernels/embedding.cu"
}
namespace movement_kernels {
#include "../../Sources/CUDADevice/kernels/prelude.cuh"
#include "../../Sources/CUDADevice/kernels/movement.cu"
}
namespace norm_kernels {
#include "../../Sources/CUDADevice/kernels/prelude.cuh"
#include "../../Sources/CUDADevice/kernels/norms.cu"
}
namespace optimizer_kernels {
#include "../../Sources/CUDADevice/kernels/prelude.cuh"
#include "../../Sources/CUDADevice/kernels/optimizers.cu"
}
namespace reduction_kernels {
#include "../../Sources/CUDADevice/kernels/prelude.cuh"
#include "../../Sources/CUDADevice/kernels/reductions.cu"
}
namespace softmax_kernels {
#include "../../Sources/CUDADevice/kernels/prelude.cuh"
#include "../../Sources/CUDADevice/kernels/softmax.cu"
}

namespace prelude_kernels {
#include "../../Sources/CUDADevice/kernels/prelude.cuh"
#include "quotients.cuh"
}
