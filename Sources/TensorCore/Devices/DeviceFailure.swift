/// What a device could not do.
///
/// After it, launches do nothing until somebody has asked (`Device.failure`, `Device.clearFailure`): a step is queued without looking, and
/// its numbers are worth nothing when the device has failed by its end.
public enum DeviceFailure: Error, Equatable, Sendable {
    /// There was no room for `bytes` more beside the `inUse` that tensors hold, even when everything free had been given back.
    case outOfMemory(device: String, bytes: Int, inUse: Int)
    /// One of the device's libraries refused a piece of work; others may go well.
    case refused(device: String, reason: String)
    /// The device is lost to this process (an illegal address, a driver's fault); it stays so.
    case lost(device: String, reason: String)
}

extension DeviceFailure: CustomStringConvertible {
    public var description: String {
        switch self {
        case .outOfMemory(let device, let bytes, let inUse):
            "\(device) has no room for \(Self.mebibytes(bytes)) MiB more; \(Self.mebibytes(inUse)) MiB are in use"
        case .refused(let device, let reason): "\(device) could not do its work: \(reason)"
        case .lost(let device, let reason): "\(device) can no longer be used: \(reason)"
        }
    }

    /// What the user can do about it.
    public var wayOut: String {
        switch self {
        case .outOfMemory: "Use smaller pictures or batches, recompute more, or end other programs that use the device."
        case .refused: "Update the driver and NVIDIA's libraries, or use the processor: %model PATH --device cpu."
        case .lost: "Restart the kernel."
        }
    }

    private static func mebibytes(_ bytes: Int) -> Int { (bytes + (1 << 20) - 1) >> 20 }
}
