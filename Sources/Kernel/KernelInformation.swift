import JupyterWire

/// Content of `kernel_info_reply`.
struct KernelInformation {
    /// The version of the language that cells will hold.
    private static let languageVersion = "6.0"

    let configuration: KernelConfiguration

    init(_ configuration: KernelConfiguration) { self.configuration = configuration }

    var content: JSON {
        [
            "status": "ok",
            "protocol_version": .string(WireSession.protocolVersion),
            "implementation": .string(configuration.implementation),
            "implementation_version": .string(configuration.implementationVersion),
            "banner": .string(configuration.banner),
            "debugger": false,
            "supported_features": ["kernel subshells"],
            "help_links": .array(configuration.helpLinks.map { ["text": .string($0.text), "url": .string($0.url)] }),
            "language_info": [
                "name": "swift", "version": .string(Self.languageVersion), "mimetype": "text/x-swift", "file_extension": ".swift",
                "pygments_lexer": "swift", "codemirror_mode": "swift", "nbconvert_exporter": "script",
            ],
        ]
    }
}
