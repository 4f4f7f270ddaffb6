import TensorCore

/// Runs `body` now and, when `recomputes`, a second time in the backward pass instead of keeping its intermediate values.
func maybeCheckpointed(_ recomputes: Bool, _ inputs: [Tensor], _ body: @escaping ([Tensor]) -> Tensor) -> Tensor {
    recomputes ? checkpointed(inputs, body) : body(inputs)
}
