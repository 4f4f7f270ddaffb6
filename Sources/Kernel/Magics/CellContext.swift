/// What a magic says while it runs; the kernel sends each as a message, tests record them.
public enum CellEvent: Sendable, Equatable {
    case output(String)
    case errorOutput(String)
    case display(DisplayData, id: String?)
    case update(DisplayData, id: String)
    case result(DisplayData)
    case clear(wait: Bool)
}

/// Asks the person at the front end; throws `MagicError` when there is nobody to ask, `KeyboardInterrupt` when interrupted.
public typealias InputSource = @Sendable (_ prompt: String, _ password: Bool) throws -> String

/// A magic's view of the cell it runs in. Safe to use from any thread, also after the cell has ended: what is said then still belongs to that cell.
public final class CellContext: Sendable {
    /// The number in the brackets beside the cell.
    public let executionCount: Int
    /// Whether nothing of this cell is to be shown.
    public let isSilent: Bool
    private let emit: @Sendable (CellEvent) -> Void
    private let inputSource: InputSource
    public let interruption: Interruption

    /// - Parameters:
    ///   - emit: receives what the magic says, in order.
    ///   - input: answers `input(prompt:password:)`; the default refuses.
    public init(
        executionCount: Int = 1, isSilent: Bool = false, interruption: Interruption = Interruption(),
        input: @escaping InputSource = CellContext.refuseInput, emit: @escaping @Sendable (CellEvent) -> Void
    ) {
        self.executionCount = executionCount
        self.isSilent = isSilent
        self.interruption = interruption
        self.inputSource = input
        self.emit = emit
    }

    /// The answer of a front end that cannot ask (nbclient, papermill).
    public static let refuseInput: InputSource = { _, _ in
        throw MagicError("StdinNotAllowed", "this front end cannot ask for input", hint: "Run the cell in a notebook or console that allows input, or give the value as an argument.")
    }

    /// Prints to the cell's standard output; no newline is added.
    public func write(_ text: String) { emit(.output(text)) }
    /// Prints to the cell's standard error; no newline is added.
    public func writeError(_ text: String) { emit(.errorOutput(text)) }

    /// Shows `data` below the cell. With an `id`, `update(_:id:)` can replace it later, also after the cell ended.
    public func display(_ data: DisplayData, id: String? = nil) { emit(.display(data, id: id)) }
    /// Replaces everything shown under `id`.
    public func update(_ data: DisplayData, id: String) { emit(.update(data, id: id)) }
    /// Sets the value of the cell (`Out[n]`); at most once a cell, later calls display instead.
    public func result(_ data: DisplayData) { emit(.result(data)) }
    /// Clears the cell's output, at once or (`wait`) when the next output comes.
    public func clearOutput(wait: Bool = false) { emit(.clear(wait: wait)) }

    /// Asks the user for a line.
    public func input(prompt: String, password: Bool = false) throws -> String { try inputSource(prompt, password) }

    /// Whether the user pressed the interrupt button (or sent SIGINT) since the cell started.
    public var isInterrupted: Bool { interruption.count > 0 }
    /// Throws `KeyboardInterrupt` when interrupted.
    public func checkInterrupted() throws {
        if isInterrupted { throw KeyboardInterrupt() }
    }
    /// Calls `handler` on another thread at each interrupt with its number (1, 2 …); at once if there has been one. A second one within two seconds
    /// means: abandon the step in hand.
    public func onInterrupt(_ handler: @escaping @Sendable (_ count: Int) -> Void) { interruption.onInterrupt(handler) }

    /// Waits `seconds`, or throws `KeyboardInterrupt` as soon as interrupted.
    public func sleep(seconds: Double) throws {
        if interruption.wait(seconds: seconds) { throw KeyboardInterrupt() }
    }
}
