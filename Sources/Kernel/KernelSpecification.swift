/// `kernel.json`: what Jupyter reads to list and start the kernel.
public struct KernelSpecification: Codable, Sendable, Equatable {
    public var argv: [String]
    public var displayName: String
    public var language: String
    /// `message`: interrupts arrive as `interrupt_request` on control (SIGINT works too).
    public var interruptMode: String
    public var kernelProtocolVersion: String
    public var env: [String: String]
    public var metadata: Metadata

    public struct Metadata: Codable, Sendable, Equatable {
        public var debugger: Bool
        public var supportedEncryption: [String]

        enum CodingKeys: String, CodingKey {
            case debugger
            case supportedEncryption = "supported_encryption"
        }
    }

    enum CodingKeys: String, CodingKey {
        case argv
        case displayName = "display_name"
        case language
        case interruptMode = "interrupt_mode"
        case kernelProtocolVersion = "kernel_protocol_version"
        case env
        case metadata
    }

    /// - Parameter executable: absolute path of `loralab`.
    public init(executable: String, displayName: String = "LoRALab (Swift)", env: [String: String] = [:]) {
        argv = [executable, "kernel", "--connection-file", "{connection_file}"]
        self.displayName = displayName
        language = "swift"
        interruptMode = "message"
        kernelProtocolVersion = "5.5"
        self.env = env
        metadata = Metadata(debugger: false, supportedEncryption: ["curve"])
    }
}
