import ArgumentParser
import CUDADevice
import TensorCore

/// Where a job runs, and in which precision.
struct BenchDevice: ParsableArguments {
    @Option(help: "cpu, or a card: cuda:0.") var device = "cpu"
    @Option(help: "On a card: bf16, or float32 for comparison.") var precision = Precision.bf16
    @Flag(help: "On a card: try the best ways of each product and convolution once and keep the fastest.") var tune = false

    enum Precision: String, ExpressibleByArgument, Codable, CaseIterable { case bf16, float32 }

    var isCard: Bool { device != "cpu" }

    /// The number of the card.
    private var index: Int? { device.hasPrefix("cuda:") ? Int(device.dropFirst("cuda:".count)) : device == "cuda" ? 0 : nil }

    func validate() throws {
        guard device == "cpu" || (index ?? -1) >= 0 else { throw ValidationError("--device is cpu or cuda:0, not “\(device)”.") }
    }

    func open() throws -> any Device { isCard ? try card(precision) : HostDevice.shared }

    func card(_ precision: Precision) throws -> CUDADevice {
        let card = try CUDADevice.open(index: index ?? 0, precision: precision == .bf16 ? .bfloat16 : .float32)
        card.setTuning(tune)
        return card
    }

    /// For a job in a process of its own.
    var arguments: [String] { ["--device", device, "--precision", precision.rawValue] + (tune ? ["--tune"] : []) }

    /// What the figures of a card are told with.
    static func facts(_ device: any Device) -> [String: Any] {
        guard let card = device as? CUDADevice else { return [:] }
        return [
            "device": card.name, "card": card.properties.name, "dtype": card.precision == .bfloat16 ? "bf16" : "fp32",
            "peak_device_mb": card.pool.peakBytes >> 20, "reserved_device_mb": card.bytesReserved >> 20,
        ]
    }
}

/// What keeps a job from running, in a sentence.
struct BenchError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
