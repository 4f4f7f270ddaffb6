/// What a user did that cannot be done, in words: becomes `ename`, `evalue` and the traceback of the cell.
public struct MagicError: Error, Sendable, Equatable {
    /// `ename`: the kind of mistake, one word (`UsageError`, `FileNotFound`).
    public var name: String
    /// `evalue`: what was given and what was expected, one sentence.
    public var message: String
    /// The way out, if there is one to name.
    public var hint: String?
    /// The option or positional at fault, by its name in the specification: the traceback points at it with a caret.
    public var argument: String?

    public init(_ name: String, _ message: String, hint: String? = nil, at argument: String? = nil) {
        self.name = name
        self.message = message
        self.hint = hint
        self.argument = argument
    }

    /// A `UsageError`: the magic was called in a way that its specification or its state does not allow.
    public init(_ message: String, hint: String? = nil, at argument: String? = nil) {
        self.init("UsageError", message, hint: hint, at: argument)
    }
}

/// Thrown by `CellContext.checkInterrupted()`; ends the cell with the name front ends know from ipykernel.
public struct KeyboardInterrupt: Error, Sendable {
    public init() {}
}
