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

    public init(_ name: String = "UsageError", _ message: String, hint: String? = nil, at argument: String? = nil) {
        self.name = name
        self.message = message
        self.hint = hint
        self.argument = argument
    }
}

/// Thrown by `CellContext.checkInterrupted()`; ends the cell with the name front ends know from ipykernel.
public struct KeyboardInterrupt: Error, Sendable {
    public init() {}
}
