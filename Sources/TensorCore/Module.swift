// Module TensorCore.
