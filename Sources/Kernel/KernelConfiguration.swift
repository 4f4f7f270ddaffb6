/// What a kernel is made of: its connection, its names, its magics and where it keeps history.
public struct KernelConfiguration: Sendable {
    public var connectionFile: String
    /// `implementation` in `kernel_info_reply`.
    public var implementation: String
    public var implementationVersion: String
    public var banner: String
    /// Links for the front end's help menu.
    public var helpLinks: [(text: String, url: String)] = [("Kohya's LoRA training guide", "https://github.com/bmaltais/kohya_ss/wiki/LoRA-training-parameters")]
    public var magics: [any Magic]
    /// SQLite file of the cell history; `nil` for `$XDG_DATA_HOME/loralab/history.sqlite`.
    public var historyFile: String?
    /// Called once, on a thread of its own, before the kernel exits (the flag says whether a restart follows): stop at a step boundary, write what is resumable, return.
    public var onShutdown: @Sendable (_ restart: Bool) -> Void
    /// Names a value for `user_expressions` (`model.family`); `nil` when it knows none of that name.
    public var expression: @Sendable (_ text: String) throws -> DisplayData?

    public init(
        connectionFile: String, implementation: String = "loralab", implementationVersion: String, banner: String, magics: [any Magic],
        historyFile: String? = nil, onShutdown: @escaping @Sendable (_ restart: Bool) -> Void = { _ in },
        expression: @escaping @Sendable (_ text: String) throws -> DisplayData? = { _ in nil }
    ) {
        self.connectionFile = connectionFile
        self.implementation = implementation
        self.implementationVersion = implementationVersion
        self.banner = banner
        self.magics = magics
        self.historyFile = historyFile
        self.onShutdown = onShutdown
        self.expression = expression
    }
}
