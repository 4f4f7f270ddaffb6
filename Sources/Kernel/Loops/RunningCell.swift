import JupyterWire

/// The cell a subshell is executing: when it began, and the flag that stops it.
struct RunningCell: Sendable {
    let interruption: Interruption
    /// Monotonic nanoseconds.
    let started: UInt64
}
